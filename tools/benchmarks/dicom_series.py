"""DICOM series whose slices do not make one regular volume: how many are refused, and how many regular ones are."""

from __future__ import annotations

import locale
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import itk
import numpy as np
from scipy.spatial.transform import Rotation

from benchmark import Context
from mrsikit.io import InputError, read_map

CONDITION, METRIC, REGULAR = "DICOM series", "refused, %", "regular"
KINDS = ("1 to 3 slices gone", "copies of slices", "two echoes", "magnitude and phase", "uneven", "two contrasts mixed")
COUNT = 100
FEWEST, MOST = 12, 41
"""Number of slices."""


def refused_series(context: Context) -> None:
    """Share of irregular and of regular series that is refused, 100 each, of any orientation, spacing and rounding."""
    count = COUNT // 10 if context.quick else COUNT
    rng = np.random.default_rng([context.seed, 5])
    kinds = [KINDS[n % len(KINDS)] for n in range(count)]
    found = {kind: [] for kind in (*KINDS, REGULAR)}  # type: dict[str, list[float]]
    with tempfile.TemporaryDirectory() as folder, _same_locale():
        for n, kind in enumerate([*kinds, *[REGULAR] * count]):
            found[kind].append(100.0 * _is_refused(Path(folder) / str(n), kind, rng))
    for kind, values in found.items():
        context.add("any", CONDITION, kind, METRIC, values)
    context.add("any", CONDITION, "irregular, all", METRIC, [v for kind in KINDS for v in found[kind]])


def _is_refused(folder: Path, kind: str, rng: np.random.Generator) -> bool:
    """Write a series and tell whether it is refused; one that is read must have the geometry it was written with."""
    slices, step = int(rng.integers(FEWEST, MOST)), float(rng.uniform(0.8, 8.0))
    turn = Rotation.random(random_state=rng).as_matrix()
    start, decimals = rng.uniform(-100, 100, 3), int(rng.integers(2, 7))
    positions = start + step * np.arange(slices)[:, None] * turn[:, 2]
    first = {"0018|0081": "4.9", "0008|0008": "ORIGINAL\\PRIMARY\\M"}
    chosen = [(k, first, 0.0) for k in range(slices)]
    if kind == KINDS[0]:
        gone = rng.choice(slices, int(rng.integers(1, 4)), replace=False)
        chosen = [one for one in chosen if one[0] not in gone]
    elif kind == KINDS[1]:
        chosen += [chosen[k] for k in rng.choice(slices, int(rng.integers(1, slices + 1)), replace=False)]
    elif kind in KINDS[2:4]:
        other = {"0018|0081": "7.4"} if kind == KINDS[2] else {"0008|0008": "ORIGINAL\\PRIMARY\\P"}
        chosen += [(k, first | other, 0.0) for k in range(slices)]
    elif kind == KINDS[4]:
        moved = int(rng.integers(1, slices - 1))
        chosen[moved] = (moved, first, float(rng.uniform(0.25, 0.5) * rng.choice([-1, 1]) * step))
    elif kind == KINDS[5]:
        chosen = [(k, first | ({"0018|0081": "7.4"} if k % 2 else {}), 0.0) for k in range(slices)]
    folder.mkdir()
    directions = "\\".join(f"{x:.{max(decimals, 4)}f}" for x in turn[:, :2].T.ravel())
    names = rng.permutation(len(chosen))
    for name, (k, tags, moved_by) in zip(names, chosen, strict=True):
        place = "\\".join(f"{x:.{decimals}f}" for x in positions[k] + moved_by * turn[:, 2])
        tags = tags | {"0020|0032": place, "0020|0037": directions, "0020|0013": str(name), "0020|000e": "1.2.3"}
        _write(folder / f"{name}.dcm", np.full((8, 8), k + 1, np.int16), tags)
    try:
        values, affine = read_map(folder)
    except InputError:
        return True
    ends = np.diag([-1, -1, 1]) @ positions[[round(float(values[0, 0, n])) - 1 for n in (0, -1)]].T
    read = np.stack([affine[:3, 3], affine[:3, 2] * (values.shape[2] - 1) + affine[:3, 3]], 1)
    if kind == REGULAR and np.abs(read - ends).max() > 0.1 * step:
        raise RuntimeError(f"{folder}: was read with another geometry")
    return False


def _write(path: Path, pixels: np.ndarray, tags: dict[str, str]) -> None:
    image = itk.GetImageFromArray(pixels)
    for tag, value in ({"0008|0060": "MR", "0020|000d": "1.2"} | tags).items():
        image.GetMetaDataDictionary()[tag] = value
    writer = itk.ImageFileWriter[itk.Image[itk.SS, 2]].New(Input=image, FileName=str(path))
    writer.UseInputMetaDataDictionaryOn()
    writer.SetImageIO(itk.GDCMImageIO.New(KeepOriginalUID=True))
    writer.Update()


@contextmanager
def _same_locale() -> Iterator[None]:
    """ITK's writer of DICOM leaves the process in the C locale."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)
