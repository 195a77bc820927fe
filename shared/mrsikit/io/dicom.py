"""Read one DICOM series as a volume, and refuse files that do not make one regular volume."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import itk
import numpy as np
from monai.data import ITKReader
from monai.utils import MetaKeys
from numpy.typing import NDArray

from mrsikit.io.errors import InputError

POSITION, ORIENTATION, SPACING = "0020|0032", "0020|0037", "0028|0030"
FRAMES, SERIES = "0028|0008", "0020|000e"

CONTRASTS = {
    "0018|0081": "EchoTime",
    "0008|0008": "ImageType",
    "0018|0082": "InversionTime",
    "0018|1314": "FlipAngle",
    "0018|9087": "DiffusionBValue",
}
"""Attributes that are equal in all slices of one volume."""

REPEATS = {
    "0018|0086": "EchoNumbers",
    "0020|0100": "TemporalPositionIdentifier",
    "0020|0012": "AcquisitionNumber",
    "0018|1060": "TriggerTime",
    "0008|0032": "AcquisitionTime",
}
"""Attributes that tell several images of one slice apart."""

UNEVEN = 0.1
"""A slice may lie 0.1 x the distance of two slices off its place; a larger deviation is not rounding."""

TURNED = 0.01
"""Direction cosines of parallel slices may differ by this much."""

MOST_NAMED = 8
"""Largest number of positions that one message names."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Header of one slice, which is a file or a frame of a file.

    Attributes:
        file: the file.
        number: its number in the file, from 0.
        tags: attributes of the file by tag, such as ``0018|0081``.
        position: (3,) centre of the first voxel (mm, LPS).
        directions: (2, 3) direction cosines of a row and of a column (LPS).
        grid: rows, columns and their spacing, as text.
    """

    file: Path
    number: int
    tags: dict[str, str]
    position: NDArray[np.float64]
    directions: NDArray[np.float64]
    grid: tuple[str, ...]


def read_series(folder: str | Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read the one DICOM series of a folder or of the folders in it.

    Slices are sorted by their positions, whatever the names and numbers of the files.

    Args:
        folder: a folder with the files of one series, one file a slice or one file for all. Other files are not read.

    Returns:
        The values (X, Y, Z) with the rescaling of the headers applied, float32, and the 4 x 4 affine from voxel to
        world (mm, RAS).

    Raises:
        InputError: the folder does not hold exactly one series, or its slices do not make one regular volume: slices
            are missing, doubled, unevenly spaced, turned, or differ in matrix or contrast.
    """
    slices = _slices(Path(folder))
    if len(slices) > 1:
        slices = sorted(slices, key=lambda one: float(_normal(slices) @ one.position))
        if problem := volume_problem(slices):
            raise InputError(f"{folder}: {problem}")
    files = list(dict.fromkeys(str(one.file) for one in slices))
    try:
        image = itk.imread(files if len(files) > 1 else files[0], pixel_type=itk.F)
        values, meta = ITKReader().get_data(image)
    except Exception as error:  # the decoders can raise any error on broken bytes
        raise InputError(f"{folder}: cannot be read ({_first_line(error)}); copy the series again") from error
    affine = np.asarray(meta[MetaKeys.AFFINE], np.float64)
    if len(files) == 1 and len(slices) > 1:  # ITK takes the frames of a file in their order, whatever their positions
        values, affine = values[:, :, [one.number for one in slices]], _affine_of(slices)
    return np.ascontiguousarray(values, np.float32), affine


def _affine_of(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Return the affine (4, 4) of regular slices, voxel to mm (RAS)."""
    first, last = slices[0], slices[-1]
    across_columns, across_rows = (float(part) for part in first.tags[SPACING].split("\\")[::-1])
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = first.directions[0] * across_columns, first.directions[1] * across_rows
    lps[:3, 2], lps[:3, 3] = (last.position - first.position) / (len(slices) - 1), first.position
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def volume_problem(slices: Sequence[Slice]) -> str | None:
    """Tell why slices do not make one regular volume.

    Args:
        slices: at least two slices, sorted by their positions along the normal of the slices.

    Returns:
        One line without the folder: what is wrong and what would be right; None if nothing is wrong. Positions are in
        mm along the normal of the slices, in the patient's coordinates (for axial slices: towards the head).
    """
    turned = [one for one in slices if np.abs(one.directions - slices[0].directions).max() > TURNED]
    if turned:
        two = f"{slices[0].file.name} and {turned[0].file.name}"
        return f"holds slices of two or more orientations (as {two}); give those of one"
    grids = {one.grid for one in slices}
    if len(grids) > 1:
        return f"holds slices of {len(grids)} matrix or voxel sizes; give the slices of one volume"
    along = np.array([one.position @ _normal(slices) for one in slices])
    differing = _differing(slices, CONTRASTS)
    doubled = _doubled(along)
    if doubled.any():
        return _doubled_line(slices, along, doubled)
    if differing:
        return f"holds images that differ in {differing}; give a folder of one"
    return _spacing_line(along) or _sideways_line(slices)


def _doubled(along: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell of each gap between neighbours (N - 1,) whether both lie at one position."""
    distances = np.diff(along)
    typical = np.median(distances[distances > 0.01]) if (distances > 0.01).any() else 0.0
    return distances <= max(0.01, typical * UNEVEN / 2)


def _doubled_line(slices: Sequence[Slice], along: NDArray[np.float64], doubled: NDArray[np.bool_]) -> str:
    twice = [one for k, one in enumerate(slices) if doubled[max(k - 1, 0) : k + 1].any()]
    where = np.unique(along[1:][doubled].round(2))
    counts = np.bincount(np.concatenate([[0], np.cumsum(~doubled)]))
    differing = _differing(twice, CONTRASTS) or _differing(twice, REPEATS)
    right = f"they differ in {differing}; give a folder of one" if differing else "they are copies; keep one of each"
    return f"holds up to {counts.max()} images of one slice, at {_listed(where)} mm along the slice normal; {right}"


def _spacing_line(along: NDArray[np.float64]) -> str | None:
    distances = np.diff(along)
    for candidate in (float(np.median(distances)), float(distances.min())):
        counts = np.round(distances / candidate)
        step = distances.sum() / counts.sum()
        if counts.min() >= 1 and np.abs(np.cumsum(distances - counts * step)).max() <= UNEVEN * step:
            break
    else:
        odd = along[:-1][np.abs(distances - np.median(distances)) > UNEVEN * np.median(distances)]
        return (
            f"has slices {distances.min():.4g} to {distances.max():.4g} mm apart, unlike the others after "
            f"{_listed(odd)} mm along the slice normal; give slices of one spacing"
        )
    missing = [a + step * n for a, count in zip(along[:-1], counts, strict=True) for n in range(1, int(count))]
    if not missing:
        return None
    return (
        f"lacks slices at {_listed(missing)} mm along the slice normal ({len(along)} of {len(along) + len(missing)} "
        f"are there, {step:.4g} mm apart); copy the whole series"
    )


def _sideways_line(slices: Sequence[Slice]) -> str | None:
    positions, normal = np.stack([one.position for one in slices]), _normal(slices)
    across = positions - np.outer(positions @ normal, normal)
    step = float(np.ptp(positions @ normal)) / (len(slices) - 1)
    if (shift := np.linalg.norm(across - across[0], axis=1)).max() > UNEVEN * step:
        return f"has slices up to {shift.max():.3g} mm beside the first; give slices stacked along their normal"
    return None


def _differing(slices: Sequence[Slice], names: dict[str, str]) -> str:
    """Name the attributes that are not equal in all slices, with their values; empty if there are none."""
    found = []
    for tag, name in names.items():
        values = dict.fromkeys(_plain(one.tags[tag]) for one in slices if tag in one.tags)
        if len(values) > 1:
            found.append(f"{name} ({', '.join(list(values)[:3])}{', ...' if len(values) > 3 else ''})")
    return " and ".join(found[:2])


def _plain(value: str) -> str:
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return value.strip().replace("\\", "/")


def _listed(positions: Iterable[float]) -> str:
    named = [f"{round(float(p), 2) + 0.0:g}" for p in positions]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return ", ".join(named[:MOST_NAMED]) + more


def _normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    row, column = slices[0].directions
    return np.cross(row, column)


def _slices(folder: Path) -> list[Slice]:
    """Read the headers of every image of a folder and of the folders in it, in the order of the names.

    Raises:
        InputError: there is no image, more than one series, a file that cannot be read, or a slice without a position.
    """
    headers = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name.upper() != "DICOMDIR"):
        if not path.name.startswith(".") and (header := _header(path)) is not None:
            headers[path] = header
    if not headers:
        raise InputError(f"{folder}: holds no DICOM series; give the folder of one")
    series = {tags.get(SERIES, "") for tags in headers.values()}
    if len(series) > 1:
        raise InputError(f"{folder}: holds {len(series)} DICOM series; give a folder of one")
    count = sum(_frames(tags) for tags in headers.values())
    if len(headers) > 1 and count > len(headers):
        raise InputError(f"{folder}: holds {len(headers)} files of several frames each; give one")
    slices = [one for path, tags in headers.items() for one in _slices_of(path, tags)]
    if count > 1 and len(slices) != count:
        raise InputError(
            f"{folder}: {count - len(slices)} of its {count} slices give no position (ImagePositionPatient); convert "
            "it with dcm2niix"
        )
    alone = next(iter(headers.items()))
    return slices or [_slice(*alone, number=0, position=np.zeros(3), directions=np.eye(3)[:2])]


def _header(path: Path) -> dict[str, str] | None:
    """Return the attributes of a DICOM image by tag; None if the file is no DICOM."""
    reader = itk.GDCMImageIO.New()
    try:
        if not reader.CanReadFile(str(path)) and not _claims_to_be_dicom(path):
            return None
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
    except Exception as error:  # ITK raises errors of its own
        raise InputError(f"{path}: is DICOM, but no image that can be read; take it away or copy it again") from error
    stored = reader.GetMetaDataDictionary()
    tags = {key: str(stored[key]).strip() for key in stored.GetKeys() if re.fullmatch(r"[0-9a-f]{4}\|[0-9a-f]{4}", key)}
    if tags.get("0028|0002", "1") != "1":
        raise InputError(f"{path}: is a colour picture; an image must hold one number a voxel")
    if "MOSAIC" in tags.get("0008|0008", ""):
        raise InputError(f"{path}: is a mosaic of slices in one picture; convert it with dcm2niix")
    return tags


def _claims_to_be_dicom(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")


def _frames(tags: dict[str, str]) -> int:
    return int(tags.get(FRAMES) or 1)


def _slices_of(path: Path, tags: dict[str, str]) -> list[Slice]:
    """Return the slices of one file; none if it does not give a position for each."""
    count = _frames(tags)
    positions, directions = ([tags[tag]] if tag in tags else [] for tag in (POSITION, ORIENTATION))
    if count > 1:
        # ITK does not give the sequences that hold the positions of frames, so the file is searched for them.
        content = path.read_bytes()
        positions, directions, spacing = (_strings_in(content, tag) for tag in (POSITION, ORIENTATION, SPACING))
        if len(set(spacing)) != 1:
            return []
        tags = tags | {SPACING: spacing[0]}
        directions = directions * count if len(directions) == 1 else directions
    try:
        places = [np.array(text.split("\\"), float).reshape(3) for text in positions]
        cosines = [np.array(text.split("\\"), float).reshape(2, 3) for text in directions]
    except ValueError:  # not three and six numbers
        return []
    if not len(places) == len(cosines) == count:
        return []
    return [_slice(path, tags, number=n, position=places[n], directions=cosines[n]) for n in range(count)]


def _slice(
    path: Path, tags: dict[str, str], *, number: int, position: NDArray[np.float64], directions: NDArray[np.float64]
) -> Slice:
    grid = tuple(_plain(tags.get(tag, "")) for tag in ("0028|0010", "0028|0011", SPACING))
    return Slice(file=path, number=number, tags=tags, position=position, directions=directions, grid=grid)


def _strings_in(content: bytes, tag: str) -> list[str]:
    """Return the decimal strings (DS) with this tag in little-endian DICOM, with explicit or implicit types."""
    group, element = (int(part, 16).to_bytes(2, "little") for part in tag.split("|"))
    found = re.finditer(re.escape(group + element) + rb"(?:DS(..)|(..\x00\x00))", content, re.DOTALL)
    lengths = [(match.end(), int.from_bytes(match[1] or match[2], "little")) for match in found]
    return [content[end : end + length].decode("latin-1").strip(" \x00") for end, length in lengths]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:120]}"
