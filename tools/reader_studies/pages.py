"""Page of a reader study: one HTML file with every map under a code; the key to the codes is a separate file."""

from __future__ import annotations

import base64
import glob
import gzip
import hashlib
import html
import itertools
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from mrsikit.io import InputError, read_map
from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.readers import split_name
from mrsikit.runtime.file_names import read_name
from reader_studies.key import CRITERIA, METABOLITE, Key

logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).parent
COLOURS = {"grey": "gray", "viridis": "viridis", "hot": "hot"}
LARGEST = 30e6
"""Largest size of a page (bytes)."""

SHARE, TOP = 0.1, 99.5
"""Share of the cases that are shown twice, and percentile of the reference at the top of the grey-value window."""

UNLIKE = 3.0
"""Ratio of the medians of map and reference (or its inverse) from which on the map is taken to be in another unit."""

MARGIN = 4
"""Width of the margin around the reference that is kept (voxels)."""

CASE = "{case}"

PLANES = {"SI": ("L", "P", "R"), "AP": ("L", "I", "R"), "LR": ("P", "I", "A")}
"""By the axis across the slices: directions of the shown axes to the right and down, and the side at the left."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Slice to score.

    Attributes:
        name: name of the file, with the number of the metabolite if there are several.
        reference: (X, Y) reference; as shown, X goes to the right and Y down.
        maps: (X, Y) map of each method, by name.
        left: side of the patient at the left of the picture: R, or A for a sagittal slice.
        spacing: voxel size along X and Y (mm).
    """

    name: str
    reference: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    left: str
    spacing: tuple[float, float]


def make(
    reference: str,
    methods: Mapping[str, str],
    out: Path,
    *,
    seed: int = 0,
    slices: Mapping[str, int] | int | None = None,
    title: str = "Reader study",
) -> Key:
    """Write the page and, beside it, its key ``<stem>.key.json``.

    Args:
        reference: folder of reference maps, or a pattern with ``{case}`` in place of the case's name.
        methods: folder or pattern of each method, by the method's name. In a folder, the map of a case has the name of
            its reference, or is the only one that begins with that name. Bounds, masks, MRIs and the like are no maps.
        out: HTML file to write.
        seed: seed of the codes and of the choice of cases shown twice. A reader's order follows from the study and the
            reader's name.
        slices: index along the file's third axis, for all cases or by case; None: the slice with the largest sum of
            absolute values in the reference.
        title: title of the page.

    Raises:
        InputError: a map is missing, cannot be read, or is not on its reference's grid; the page would be too large.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: give a whole number from 0 on")
    if not methods:
        raise InputError("no --method is given; give at least one as NAME=FOLDER")
    said = [name for name in methods if re.search(rf"\b{re.escape(name)}\b", title, re.IGNORECASE)]
    if said:
        raise InputError(f"--title names the method {said[0]}; readers must not know what they see")
    found = find_cases(reference)
    names = [name for name, _ in found]
    unknown = set(slices) - set(names) if isinstance(slices, Mapping) else set()
    if unknown:
        raise InputError(f"--slice {min(unknown)}: is no case; they are {', '.join(names)}")
    cases = [case for one in tqdm(found, desc="reading", delay=2) for case in _read(one, names, methods, slices)]
    # every study has its own codes, so that those of one study reveal nothing about another
    rng = np.random.default_rng([seed, *hashlib.sha256(_content(cases)).digest()])
    order = rng.permutation(len(cases))
    codes = _codes(rng, len(cases) * (1 + len(methods)))
    named = {f"case-{next(codes)}": cases[k] for k in order}
    shown: dict[str, Any] = {}
    maps: dict[str, tuple[str, str]] = {}
    for code, case in named.items():
        own = {}
        for method in rng.permutation(list(methods)).tolist():
            own[one := f"map-{next(codes)}"] = case.maps[method]
            maps[one] = (code, method)
        shown[code] = _packed(case, own)
    count = max(1, round(SHARE * len(cases))) if len(cases) > 1 else 0
    repeated = tuple(sorted(rng.choice(list(named), count, replace=False).tolist()))
    images = json.dumps(shown, sort_keys=True)
    key = Key(
        title=title, methods=tuple(methods), cases={code: case.name for code, case in named.items()},
        maps=dict(sorted(maps.items())), repeated=repeated, images=hashlib.sha256(images.encode()).hexdigest(),
    )  # fmt: skip
    if key_path(out).exists() and Key.read(key_path(out)).study != key.study:
        raise InputError(f"{key_path(out)}: is the key of another study; give another --out")
    page = _page(key, shown)
    if len(page) > LARGEST:
        raise InputError(f"{out}: would have {len(page) / 1e6:.0f} MB, 30 at most; give fewer cases or methods")
    write_text_atomically(out, page)
    key.write(key_path(out))
    logger.info("%s: %d cases, %d methods, %.1f MB", out, len(cases), len(methods), len(page) / 1e6)
    logger.info("%s: the key; keep it from the readers", key_path(out))
    return key


def _content(cases: Sequence[Case]) -> bytes:
    """Digests of all maps shown, and of their names."""
    parts = [[case.name.encode(), case.reference.tobytes()] for case in cases]
    parts += [[name.encode(), values.tobytes()] for case in cases for name, values in case.maps.items()]
    return b"".join(hashlib.sha256(part).digest() for pair in parts for part in pair)


def key_path(page: Path) -> Path:
    """Path of the key of a page."""
    return page.with_name(f"{page.stem}.key.json")


def find_cases(reference: str) -> list[tuple[str, Path]]:
    """Find the name and file of each reference.

    Raises:
        InputError: there is no reference.
    """
    if CASE in reference:
        before, *after = reference.split(CASE)
        known = re.compile(re.escape(before) + "([^/]+)" + r"\1".join(map(re.escape, after)))
        found = sorted(glob.glob("*".join(map(glob.escape, (before, *after)))))
        named = [(match[1], Path(path)) for path in found if (match := known.fullmatch(path))]
    else:
        named = sorted(_maps_of(Path(reference)).items())
    # where the pattern itself names the file, as in {case}_mask.nii.gz, its maps are meant
    others = [path for name, path in named if name == split_name(path.name)[0] and is_companion(name)]
    named = [(name, path) for name, path in named if path not in others]
    if others:
        logger.warning(
            "%s: left out, as no maps by their names: %s", reference, ", ".join(path.name for path in others)
        )
    if not named:
        wanted = "reference map" if others else ".nii, .nii.gz or .mnc"
        raise InputError(f"{reference}: holds no {wanted}; give the folder of the reference maps")
    return named


def _maps_of(folder: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        stem, ending = split_name(path.name)
        if ending:
            found[stem] = path
    return found


def is_companion(stem: str) -> bool:
    """Whether a file of this stem lies beside a map and is none, as ``p1_crlb``, ``p1_desc-brainmask`` or ``T1w``."""
    return bool(read_name(stem).kind)


def _map_of(case: str, cases: Sequence[str], method: str, where: str) -> Path:
    if CASE in where:
        path = Path(where.replace(CASE, case))
        if not path.exists():
            raise InputError(f"{path}: is missing, the map of case {case} by {method}")
        return path
    if not Path(where).is_dir():
        raise InputError(f"{where}: is no folder; give --method '{method}=FOLDER'")
    found = _maps_of(Path(where))
    if case in found:
        return found[case]
    # if there is a case patient_2, patient_2_sr belongs to it and not to a case patient
    longer = tuple(f"{other}_" for other in cases if other.startswith(f"{case}_"))
    like = [path for stem, path in found.items() if f"{stem}_".startswith(f"{case}_") and not is_companion(stem)]
    like = [path for path in like if not f"{split_name(path.name)[0]}_".startswith(longer)]
    if len(like) != 1:
        several = f"holds {len(like)} maps named {case}_..., and none {case}" if like else "holds no map"
        raise InputError(
            f"{where}: {several} of case {case} by {method}; give '{method}=FOLDER/{CASE}_sr.nii.gz' or the like"
        )
    return like[0]


def _read(
    one: tuple[str, Path],
    cases: Sequence[str],
    methods: Mapping[str, str],
    slices: Mapping[str, int] | int | None,
) -> list[Case]:
    """Read one file and its maps: one case, or one case per metabolite."""
    name, path = one
    reference, affine, across = _upright(path)
    files = {method: _map_of(name, cases, method, where) for method, where in methods.items()}
    maps = {}
    for method, file in files.items():
        maps[method], other, _ = _upright(file, across)
        if maps[method].shape != reference.shape:
            raise InputError(f"{file}: is {_size(maps[method])}, its reference {path} {_size(reference)}")
        corners = np.array([*itertools.product(*((0, n - 1) for n in reference.shape[:3]), [1])])
        size = np.linalg.norm(affine[:3, :2], axis=0).max()
        if np.abs(corners @ (other - affine).T).max() > 0.5 * size:
            raise InputError(f"{file}: does not lie where its reference {path} lies; give maps on one grid")
        _alike(maps[method], reference, file)
    reference = np.nan_to_num(reference, posinf=0.0, neginf=0.0)
    if np.isin(reference, (0, 1)).all() and reference.any():
        raise InputError(f"{path}: holds 0 and 1 alone, as a mask; give the references alone, or a pattern with {CASE}")
    maps = {method: np.nan_to_num(values, posinf=0.0, neginf=0.0) for method, values in maps.items()}
    wanted = slices.get(name) if isinstance(slices, Mapping) else slices
    out: list[Case] = []
    for place in range(reference.shape[3]):
        values = reference[..., place]
        at = int(np.abs(values).sum((0, 1)).argmax()) if wanted is None else wanted
        if not 0 <= at < values.shape[2]:
            raise InputError(f"{path}: has slices 0 to {values.shape[2] - 1}, not {at}")
        spacing = np.linalg.norm(affine[:3, :2], axis=0)
        out.append(
            Case(
                name=name if reference.shape[3] == 1 else f"{name}{METABOLITE}{place + 1}",
                reference=values[:, :, at],
                maps={method: image[:, :, at, place] for method, image in maps.items()},
                left=_plane(across)[2],
                spacing=(float(spacing[0]), float(spacing[1])),
            )
        )
        if not np.ptp(out[-1].reference):
            raise InputError(f"{path}: is the same everywhere in slice {at}; give another --slice {name}=K")
    return out


def _alike(values: NDArray[np.float32], reference: NDArray[np.float32], file: Path) -> None:
    """Refuse a map that would be shown black or white throughout, and warn of one in other units."""
    inside = np.isfinite(reference) & (reference != 0)
    if not np.isfinite(values[inside]).all():
        raise InputError(f"{file}: holds NaN or infinity where its reference does not; a reader would see black")
    if inside.any() and not np.ptp(values[inside]):
        raise InputError(f"{file}: is the same everywhere its reference is not zero")
    scale = float(np.median(values[inside]) / np.median(reference[inside])) if inside.any() else 1.0
    if not 1 / UNLIKE < scale < UNLIKE:
        logger.warning("%s: has %.3g times the values of its reference; are they of one unit?", file, scale)


def _plane(across: str) -> tuple[str, str, str]:
    """Entry of :data:`PLANES` for the direction of the third axis."""
    return next(shown for axes, shown in PLANES.items() if across in axes)


def _upright(path: Path, across: str | None = None) -> tuple[NDArray[np.float32], NDArray[np.float64], str]:
    """Read a map and orient its slices as they are shown.

    Returns:
        The map (X, Y, Z, M), its affine, and the direction of the third axis: ``across``, or that of the file.
    """
    values, affine = read_map(path)
    if not 2 <= values.ndim <= 4:
        raise InputError(f"{path}: has {values.ndim} axes; a map has 2, 3, or 4 with metabolites last")
    values = values.reshape(*values.shape, *[1] * (4 - values.ndim))
    across = across or nib.orientations.aff2axcodes(affine)[2]
    right, down, _ = _plane(across)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt((right, down, across))
    )
    moved = affine @ nib.orientations.inv_ornt_aff(turn, values.shape[:3])
    return nib.orientations.apply_orientation(values, turn), moved, across


def _size(values: NDArray[Any]) -> str:
    shape = values.shape[: 3 if values.shape[3] == 1 else 4]
    return " x ".join(map(str, shape))


def _codes(rng: np.random.Generator, count: int) -> Any:
    """Distinct codes of five letters and digits, without characters that can be confused."""
    letters = list("abcdefghkmnpqrstuvwxyz23456789")
    made: set[str] = set()
    while len(made) < count:
        made.add("".join(rng.choice(letters, 5)))
    return iter(rng.permutation(sorted(made)).tolist())


def _packed(case: Case, maps: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Encode a case for the page: one grey-value window for all maps, cropped to the reference."""
    low = min(0.0, float(np.percentile(case.reference, 100 - TOP)))
    inside = case.reference != 0
    high = float(np.percentile(case.reference[inside], TOP))
    cut = []
    for axis in (0, 1):
        places = np.flatnonzero(inside.any(1 - axis))
        cut.append(slice(max(0, int(places[0]) - MARGIN), int(places[-1]) + 1 + MARGIN))

    def grey(values: NDArray[np.float32]) -> str:
        levels = np.clip((values[cut[0], cut[1]] - low) / max(high - low, 1e-30), 0, 1) * 255
        return base64.b64encode(gzip.compress(np.rint(levels).astype(np.uint8).T.tobytes(), mtime=0)).decode()

    width, height = (case.reference[cut[0], cut[1]].shape[axis] for axis in (0, 1))
    return {
        "width": width, "height": height, "aspect": case.spacing[1] / case.spacing[0], "left": case.left,
        "reference": grey(case.reference), "maps": {code: grey(values) for code, values in sorted(maps.items())},
    }  # fmt: skip


def _page(key: Key, shown: Mapping[str, Any]) -> str:
    study = {
        "study": key.study,
        "title": key.title,
        "criteria": [{"name": c.name, "question": c.question, "optional": c.optional} for c in CRITERIA],
        "repeated": list(key.repeated),
        "colours": {name: _table(of) for name, of in COLOURS.items()},
        "cases": shown,
    }
    parts = {
        "TITLE": html.escape(key.title),
        "STYLE": (TEMPLATE / "page.css").read_text(encoding="utf-8"),
        "STUDY": json.dumps(study).replace("<", "\\u003c"),
        "SCRIPT": (TEMPLATE / "page.js").read_text(encoding="utf-8"),
    }
    page = (TEMPLATE / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"%%{name}%%", text)
    return page


def _table(name: str) -> str:
    """Red, green and blue of the 256 levels of a colour map, base64."""
    values = matplotlib.colormaps[name](np.arange(256))[:, :3]
    return base64.b64encode(np.rint(255 * values).astype(np.uint8).tobytes()).decode()


def parse_methods(given: Sequence[str]) -> dict[str, str]:
    """Parse options NAME=FOLDER to folders by name.

    Raises:
        InputError: an option has another form, or two have the same name.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, where = text.partition("=")
        if not equals or not name.strip() or not where.strip():
            raise InputError(f"--method {text}: give NAME=FOLDER")
        if name.strip() in found:
            raise InputError(f"--method {text}: {name.strip()} is given twice")
        found[name.strip()] = where.strip()
    return found


def parse_slices(given: Sequence[str]) -> dict[str, int] | int | None:
    """Parse options K, for all cases, or CASE=K, by case.

    Raises:
        InputError: an option has another form.
    """
    try:
        if len(given) == 1 and "=" not in given[0]:
            return int(given[0])
        pairs = [text.rsplit("=", 1) for text in given]
        return {case: int(place) for case, place in pairs} or None
    except ValueError as error:
        raise InputError(f"--slice {' '.join(given)}: give K, or CASE=K for each case") from error


def minutes(key: Key, seconds: float = 5.0) -> int:
    """Estimate how many minutes a reader takes at ``seconds`` per score."""
    return math.ceil(len(key.shown()) * len(CRITERIA) * seconds / 60)
