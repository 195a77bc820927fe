"""The inputs of a run: list the files, check them, and find those that are not yet processed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mrsikit.io.errors import InputError
from mrsikit.io.readers import split_name, stem_of
from mrsikit.runtime.fid_checks import fid_problems
from mrsikit.runtime.map_checks import KINDS, input_problems
from mrsikit.runtime.options import as_flag

DATALIST_SECTIONS = ("testing", "inference")


class InputFolder:
    """The maps of a folder or of a MONAI datalist, with their companion files and their outputs.

    The constructor reads no file and checks no argument, so that a config with this object can be built anywhere;
    :func:`mrsikit.runtime.check_inputs` checks arguments and files.

    Args:
        dataset_dir: a folder, or a JSON file. The JSON file holds a list of ``{"image": path, <companion>: path}`` (or
            of paths), or an object with such a list under ``testing`` or ``inference``. Relative paths start at the
            folder of the JSON file.
        output_dir: folder of the outputs; may be ``dataset_dir``.
        companions: kind of each companion file by its suffix, such as ``{"missing": "missing", "crlb": "percent",
            "brain": "mask"}``: ``<stem>_missing.nii.gz`` lies beside ``<stem>.nii.gz``. A ``missing`` is a mask that
            may be empty but not full, a ``mask`` may be full but not empty, a ``percent`` holds percentages, and an
            ``anatomy`` is an image on its own grid, or the folder ``<stem>_<suffix>`` of a DICOM series.
        outputs: suffixes of the image outputs. A file with such a suffix is never taken for an input. An input is done
            when ``output_dir`` holds its record ``<stem>.json``, ``<stem>_<suffix>.nii.gz`` for each of these suffixes,
            and the further outputs that the record names.
        optional_outputs: suffixes of image outputs that only some inputs have. Files with these are no inputs either.
        ignored: suffixes of files that belong to a map but that this bundle does not use. They are no inputs if their
            map is present.
        needed: companions of which every input must have at least one.
        least_slices: smallest number of voxels of every map along each of three axes; 0: maps may be 2D.
        holds: kind of the inputs, ``maps`` or ``fids`` (NIfTI-MRS).
        overwrite: also compute inputs that are done.
        skip_invalid: leave invalid inputs out instead of refusing the run.

    Attributes:
        invalid: the problems of each file, found by the last :meth:`check`.
        outdated: for each file that was done before, what differed then (``weights and parameters``), found by
            RunReport.

    Example:
        >>> inputs = InputFolder(dataset_dir="maps", output_dir="filled", outputs=["inpainted"])
        >>> inputs.overwrite
        False
    """

    def __init__(
        self,
        *,
        dataset_dir: str | Path | None,
        output_dir: str | Path | None,
        companions: Mapping[str, str] | None = None,
        outputs: Sequence[str] = (),
        optional_outputs: Sequence[str] = (),
        ignored: Sequence[str] = (),
        needed: Sequence[str] = (),
        least_slices: int = 0,
        holds: str = "maps",
        overwrite: bool | str | int = False,
        skip_invalid: bool | str | int = False,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.output_dir = output_dir
        self.companions = dict(companions or {})
        self.outputs = tuple(outputs)
        self.optional_outputs = tuple(optional_outputs)
        self.ignored = tuple(ignored)
        self.needed = tuple(needed)
        self.least_slices = least_slices
        self.holds = holds
        self._overwrite = overwrite
        self._skip_invalid = skip_invalid
        self.invalid: dict[str, list[str]] = {}
        self.outdated: dict[str, str] = {}

    @property
    def reads_files(self) -> bool:
        """Whether the run reads input files; False for a run that generates its results without any."""
        return True

    @property
    def overwrite(self) -> bool:
        """Whether inputs that are done are computed again. Raises InputError if the option is neither yes nor no."""
        return as_flag(self._overwrite, "overwrite")

    @property
    def skip_invalid(self) -> bool:
        """Whether invalid inputs are left out. Raises InputError if the option is neither yes nor no."""
        return as_flag(self._skip_invalid, "skip_invalid")

    @property
    def files(self) -> list[Path]:
        """The inputs, sorted by name (a folder) or in the order of the list (a datalist)."""
        return [Path(item["image"]) for item in self.items()]

    def sources(self, item: Mapping[str, str]) -> dict[str, str]:
        """Return the files that one input consists of, by key."""
        return dict(item)

    def stems(self) -> list[str]:
        """Return the stem of every input, in the order of :attr:`files`."""
        return [stem_of(path) for path in self.files]

    def items(self) -> list[dict[str, str]]:
        """List every input with its companions.

        Returns:
            One ``{"image": path, <companion>: path, ...}`` per input, with absolute paths and only the companions that
            exist (or that a datalist names).

        Raises:
            InputError: ``dataset_dir`` is missing, unreadable or holds no input.
        """
        if self.dataset_dir is None:
            raise InputError(f"dataset_dir is not given; add --dataset_dir with a folder of {self._wanted}")
        source = Path(str(self.dataset_dir)).expanduser().absolute()
        if not source.exists():
            raise InputError(f"dataset_dir {source} does not exist; give a folder of {self._wanted}")
        if source.is_dir():
            items = [{"image": str(path)} for path in _images(source) if not self._suffix(path)]
        elif source.suffix.lower() == ".json":
            items = self._read_datalist(source)
        else:
            raise InputError(f"dataset_dir {source} is a file; give its folder, or a datalist ending in .json")
        if not items:
            raise InputError(f"dataset_dir {source} holds no input{self._why_none(source)}")
        return [self._with_companions(item) for item in items]

    @property
    def _wanted(self) -> str:
        return "NIfTI-MRS files (.nii, .nii.gz)" if self.holds == "fids" else ".nii, .nii.gz or .mnc maps"

    def _why_none(self, source: Path) -> str:
        if not source.is_dir():
            return "; its list is empty"
        if marked := [path.name for path in _images(source)]:
            suffixes = (*self.outputs, *self.optional_outputs, *self.companions)
            endings = ", ".join(f"_{name}" for name in suffixes)
            named = f"{marked[0]} and all others are named as outputs or companions ({endings})"
            return f": {named}; rename the maps, or add those they belong to"
        inner = next((path.name for path in sorted(source.iterdir()) if path.is_dir() and _images(path)), None)
        if inner:
            return f", but its folder {inner} does; give that one, folders in folders are not searched"
        return f"; give {self._wanted}"

    def unknown_keys(self) -> list[str]:
        """Return the keys of a datalist's entries that are neither the image nor a companion, in order."""
        source = Path(str(self.dataset_dir)).expanduser().absolute()
        if source.is_dir():
            return []
        keys = dict.fromkeys(k for entry in _datalist(source) if isinstance(entry, Mapping) for k in entry)
        return [str(key) for key in keys if key != "image" and key not in self.companions]

    def orphans(self) -> list[Path]:
        """Return the companion files of a folder whose map is absent."""
        source = Path(str(self.dataset_dir)).expanduser().absolute()
        if not source.is_dir():
            return []
        stems = set(self.stems())
        marked = [(path, self._suffix(path)) for path in _images(source)]
        return [
            path
            for path, suffix in marked
            if suffix in self.companions and stem_of(path)[: -len(suffix) - 1] not in stems
        ]

    def check(self) -> dict[str, list[str]]:
        """Read every input completely, one input at a time, and collect the problems.

        Returns:
            For each invalid input, by its path, lines that say what is wrong and what would be right. Valid inputs are
            not included.

        Raises:
            InputError: the inputs cannot be listed, or a companion is of an unknown kind.
        """
        for name, kind in self.companions.items():
            if kind not in KINDS:
                raise InputError(f"companion {name!r} is of kind {kind!r}; give one of {', '.join(KINDS)}")
        items = self.items()
        twins: dict[str, list[str]] = {}
        for item in items:
            # Ignore case: on many file systems the outputs of a.nii and A.nii would be the same file.
            twins.setdefault(stem_of(item["image"]).lower(), []).append(item["image"])
        self.invalid = {}
        for item in tqdm(items, desc="checking inputs", unit="file", delay=2):
            path = item["image"]
            lines = []
            same = [other for other in twins[stem_of(path).lower()] if other != path]
            if len(twins[stem_of(path).lower()]) > 1:
                lines.append(f"{path}: has the output names of {', '.join(same) or 'itself'} too; rename or remove one")
            if self.output_dir is not None and self.record_path(stem_of(path)).exists() and not self._record(path):
                record = self.record_path(stem_of(path))
                lines.append(f"{path}: {record} is there and not ours to replace; choose another output_dir")
            if self.needed and not set(self.needed) & set(item):
                wanted = " or ".join(f"{stem_of(path)}_{name}.nii.gz" for name in self.needed)
                lines.append(f"{path}: has none of the companions that this method needs; give {wanted}")
            lines += self._doubled_companions(path) + self.problems_of(item)
            if lines:
                self.invalid[path] = lines
        return self.invalid

    def problems_of(self, item: Mapping[str, str]) -> list[str]:
        """Check the content of one input and its companions; return one line per problem."""
        if self.holds == "fids":
            return fid_problems(item, self.companions)
        return input_problems(item, self.companions, self.least_slices)

    def datalist(self) -> list[dict[str, str]]:
        """List the inputs to compute: all that :meth:`check` has not found invalid and, unless ``overwrite``, not done.

        Returns:
            Items as in :meth:`items`. Empty if ``dataset_dir`` is not given, so that a config can be built without it.
        """
        if self.dataset_dir is None:
            return []
        items = [item for item in self.items() if item["image"] not in self.invalid]
        return items if self.overwrite else [item for item in items if not self.is_done(item["image"])]

    def is_done(self, path: str | Path) -> bool:
        """Tell whether ``output_dir`` holds all outputs of the input ``path``, including the record (written last).

        The record names those of the optional outputs that this input has.
        """
        if self.output_dir is None:
            return False
        record = self._record(path)
        outputs = [self.output_path(stem_of(path), suffix) for suffix in (*self.outputs, *record.get("outputs", ()))]
        return bool(record) and all(output.exists() for output in outputs)

    def output_path(self, stem: str, suffix: str) -> Path:
        """Return ``<output_dir>/<stem>_<suffix>.nii.gz``."""
        return Path(str(self.output_dir)).expanduser() / f"{stem}_{suffix}.nii.gz"

    def record_path(self, stem: str) -> Path:
        """Return ``<output_dir>/<stem>.json``, the provenance of one input."""
        return Path(str(self.output_dir)).expanduser() / f"{stem}.json"

    def _record(self, path: str | Path) -> dict[str, Any]:
        """Return the record of an input; empty if there is none or if mrsikit did not write the file."""
        return read_record(self.record_path(stem_of(path)))

    def _suffix(self, path: Path) -> str:
        """Return the known suffix (output, ignored file or companion) at the end of a file name; empty if none."""
        stem = stem_of(path)
        others = [name for name in self.ignored if stem.endswith(f"_{name}")]
        others = [name for name in others if _has_image(path, stem.removesuffix(f"_{name}"))]
        outputs = (*self.outputs, *self.optional_outputs, *others)
        companions = (name for name in self.companions if stem.endswith(tuple(f"_{w}" for w in _writings(name))))
        return next((name for name in outputs if stem.endswith(f"_{name}")), "") or next(companions, "")

    def _with_companions(self, item: dict[str, str]) -> dict[str, str]:
        found = {name: self._companion_files(item["image"], name) for name in self.companions if name not in item}
        return item | {name: str(paths[0]) for name, paths in found.items() if paths}

    def _companion_files(self, image: str, name: str) -> list[Path]:
        endings = (".nii.gz", ".nii", ".mnc", ".NII.GZ", ".NII", ".MNC")
        found: dict[tuple[int, int], Path] = {}
        for written in _writings(name):
            wanted = Path(image).with_name(f"{stem_of(image)}_{written}")
            files = [path for path in (wanted.with_name(wanted.name + e) for e in endings) if path.is_file()]
            series = [wanted] if self.companions[name] == "anatomy" and wanted.is_dir() else []
            for path in (*files, *series):
                entry = path.stat()
                found.setdefault((entry.st_dev, entry.st_ino), path)
        return list(found.values())

    def _doubled_companions(self, image: str) -> list[str]:
        doubled = {name: self._companion_files(image, name) for name in self.companions}
        return [
            f"{image}: has two companions {' and '.join(p.name for p in paths)}; keep one"
            for paths in doubled.values()
            if len(paths) > 1
        ]

    def _read_datalist(self, source: Path) -> list[dict[str, str]]:
        return [self._entry(entry, source) for entry in _datalist(source)]

    def _entry(self, entry: object, source: Path) -> dict[str, str]:
        if isinstance(entry, str):
            entry = {"image": entry}
        if not isinstance(entry, Mapping) or not isinstance(entry.get("image"), str):
            raise InputError(f'{source}: entry {str(entry)[:80]} names no image; give {{"image": path}}')
        names: Iterable[str] = ("image", *(name for name in self.companions if isinstance(entry.get(name), str)))
        return {name: str((source.parent / Path(entry[name]).expanduser()).absolute()) for name in names}


def _has_image(found: Path, stem: str) -> bool:
    """Whether an image with this stem lies in the folder of a file."""
    return any(stem_of(path) == stem for path in _images(found.parent))


def _writings(name: str) -> tuple[str, ...]:
    """Accepted spellings of the suffix of a companion: as given, in upper case, and capitalised."""
    return name, name.upper(), name.capitalize()


def _datalist(source: Path) -> list[object]:
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: is no JSON ({str(error)[:100]}); give a list of image entries") from error
    if isinstance(content, Mapping):
        content = next((content[key] for key in DATALIST_SECTIONS if key in content), None)
    if not isinstance(content, list):
        raise InputError(f'{source}: holds no datalist; give [{{"image": path}}, ...] or that under "testing"')
    return content


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a provenance file; empty if it is absent or if mrsikit did not write it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "mrsikit" in content else {}


def _images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted, without hidden files (partial outputs, macOS companions)."""
    return sorted(
        path
        for path in folder.iterdir()
        if split_name(path.name)[1] and not path.name.startswith(".") and path.is_file()
    )
