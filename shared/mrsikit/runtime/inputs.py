"""The inputs of a run: list the files, check them, and find those that are not yet processed."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from mrsikit.io.errors import InputError
from mrsikit.io.readers import split_name, stem_of
from mrsikit.io.writers import FOLDER
from mrsikit.runtime.cases import Case, Found, attach, find_files, group, is_mask, table
from mrsikit.runtime.claims import Claims
from mrsikit.runtime.fid_checks import fid_problems
from mrsikit.runtime.file_names import read_name
from mrsikit.runtime.map_checks import KINDS, ON_ANY_GRID, input_problems
from mrsikit.runtime.options import as_flag
from mrsikit.runtime.provenance import read_record
from mrsikit.runtime.shards import read_shard

DATALIST_SECTIONS = ("testing", "inference")
SESSION = "session/"
"""Start of the keys of the other maps of an input's case."""


class InputFolder:
    """The maps of a folder or of a MONAI datalist, with their companion files and their outputs.

    The constructor reads no file and checks no argument, so that a config with this object can be built anywhere;
    :func:`mrsikit.runtime.check_inputs` checks arguments and files.

    Args:
        dataset_dir: a folder, with the folders in it; one map; or a JSON file. The JSON file holds a list of
            ``{"image": path, <companion>: path}`` (or of paths), or an object with such a list under ``testing`` or
            ``inference``. Relative paths start at the folder of the JSON file.
        output_dir: folder of the outputs; may be ``dataset_dir``. It mirrors the folders of ``dataset_dir``.
        companions: kind of each companion file by its suffix, such as ``{"missing": "missing", "crlb": "percent",
            "brain": "mask"}``: ``<stem>_missing.nii.gz`` lies beside ``<stem>.nii.gz``. A ``missing`` is a mask that
            may be empty but not full, a ``mask`` may be full but not empty, a ``percent`` holds percentages, and an
            ``anatomy`` is an image on its own grid, or the folder ``<stem>_<suffix>`` of a DICOM series, and a
            ``fraction`` is a tissue map from 0 to 1 on its own grid. All but percentages may serve all maps of a case,
            see :func:`mrsikit.runtime.cases.attach`.
        outputs: suffixes of the image outputs. An input is done when ``output_dir`` holds its record ``<stem>.json``,
            ``<stem>_<suffix>.nii.gz`` for each of these suffixes, and the further outputs that the record names.
        optional_outputs: suffixes of image outputs that only some inputs have.
        needed: companions of which every input must have at least one.
        session: whether each input also lists the other maps of its case, as ``session/<stem>``, with their companions,
            as ``session/<stem>/<companion>``; also as text, as a command line gives it.
        least_slices: smallest number of voxels of every map along each of three axes; 0: maps may be 2D.
        holds: kind of the inputs, ``maps`` or ``fids`` (NIfTI-MRS).
        shard: "2/40": only every 40th case, from the second on, see :mod:`mrsikit.runtime.shards`; None: all cases.
        overwrite: also compute inputs that are done.
        skip_invalid: leave invalid inputs out instead of refusing the run.

    Attributes:
        invalid: the problems of each file, found by the last :meth:`check`.
        outdated: for each file that was done before, what differed then (``weights and parameters``), found by
            RunReport.
        masks: maps that hold only 0 and 1, found by the last :meth:`check`; they are no inputs.

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
        needed: Sequence[str] = (),
        session: bool | str | int = False,
        least_slices: int = 0,
        holds: str = "maps",
        shard: str | None = None,
        overwrite: bool | str | int = False,
        skip_invalid: bool | str | int = False,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.output_dir = output_dir
        self.companions = dict(companions or {})
        self.outputs = tuple(outputs)
        self.optional_outputs = tuple(optional_outputs)
        self.needed = tuple(needed)
        self._session = session
        self.least_slices = least_slices
        self.holds = holds
        self.shard = shard
        self._overwrite = overwrite
        self._skip_invalid = skip_invalid
        self.invalid: dict[str, list[str]] = {}
        self.outdated: dict[str, str] = {}
        self.masks: list[Path] = []
        self._claims: Claims | None = None
        self._of_shard: set[str] | None = None

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
        return {name: path for name, path in item.items() if name != FOLDER}

    def name_of(self, path: str | Path) -> str:
        """Return the name of an input, from which its outputs are named: folders below ``dataset_dir``, and stem."""
        folder = self._folder_of(Path(path))
        return f"{folder}/{stem_of(path)}" if folder else stem_of(path)

    def names(self) -> list[str]:
        """Return the name of every input, in the order of :attr:`files`."""
        return [self.name_of(path) for path in self.files]

    def cases(self) -> list[Case]:
        """Return the inputs grouped by session and grid."""
        source = self._source
        return group(self.files, source if source.is_dir() else source.parent)

    def items(self) -> list[dict[str, str]]:
        """List every input of the shard with its companions.

        Returns:
            One ``{"image": path, <companion>: path, ...}`` per input, with absolute paths and only the companions that
            exist (or that a datalist names).

        Raises:
            InputError: ``dataset_dir`` is missing, unreadable or holds no input.
        """
        if self.dataset_dir is None:
            raise InputError(f"dataset_dir is not given; add --dataset_dir with a folder of {self._wanted}")
        source = self._source
        if not source.exists():
            raise InputError(f"dataset_dir {source} does not exist; give a folder of {self._wanted}")
        if source.suffix.lower() == ".json":
            items = self._read_datalist(source)
            found = [self._found(folder, deep=False) for folder in {Path(item["image"]).parent for item in items}]
        elif source.is_dir() or split_name(source.name)[1]:
            found = [self._found(source)]
            maps = [path for path in found[0].maps if path not in self.masks]
            items = [{"image": str(path)} for path in maps]
        else:
            raise InputError(f"dataset_dir {source} is no map; give {self._wanted}, a folder, or a datalist in .json")
        if not items:
            raise InputError(f"dataset_dir {source} holds no input{self._why_none(source)}")
        items = self._in_shard(items)
        companions = self._attached(items, found)
        items = [
            {**{name: str(paths[0]) for name, paths in companions[item["image"]].items()}, **item, **self._place(item)}
            for item in items
        ]
        return self._with_sessions(items) if as_flag(self._session, "session") else items

    def whole(self) -> Self:
        """Return the same inputs without shards: those of all shards."""
        whole = copy.copy(self)
        whole.shard = None
        return whole

    def _in_shard(self, items: list[dict[str, str]]) -> list[dict[str, str]]:
        """Choose the inputs of this shard among all.

        The choice is made once: masks that :meth:`check` takes out later must not move the cases after them to another
        shard.
        """
        shard = read_shard(self.shard)
        if shard is None:
            return items
        if self._of_shard is None:
            source = self._source if self._source.is_dir() else self._source.parent
            cases = shard.of(group([Path(item["image"]) for item in items], source))
            self._of_shard = {str(path) for case in cases for path in case.maps}
        return [item for item in items if item["image"] in self._of_shard]

    def _with_sessions(self, items: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        """Add to each input the other valid maps of its case and their companions."""
        source = self._source if self._source.is_dir() else self._source.parent
        by_map = {item["image"]: item for item in items}
        others: dict[str, dict[str, str]] = {path: {} for path in by_map}
        named = [name for name, kind in self.companions.items() if kind not in ON_ANY_GRID]  # images are the session's
        for case in group([Path(path) for path in by_map], source):
            for path in map(str, case.maps):
                for other in (str(other) for other in case.maps if str(other) not in {path, *self.invalid}):
                    key = f"{SESSION}{stem_of(other)}"
                    others[path][key] = other
                    others[path] |= {f"{key}/{n}": file for n in named if (file := by_map[other].get(n))}
        return [{**item, **others[item["image"]]} for item in items]

    def _attached(self, items: Sequence[Mapping[str, str]], found: Sequence[Found]) -> dict[str, dict[str, list[Path]]]:
        """Find the companions of each input, by its path."""
        out: dict[str, dict[str, list[Path]]] = {item["image"]: {} for item in items}
        for files in found:
            paths = [path for item in items if files.holds(path := Path(item["image"]))]
            out |= {str(path): named for path, named in attach(paths, files, self.companions).items()}
        return out

    def _found(self, source: Path, *, deep: bool = True) -> Found:
        output = None if self.output_dir is None else Path(str(self.output_dir)).expanduser().absolute()
        return find_files(
            source,
            companions=self.companions,
            outputs=(*self.outputs, *self.optional_outputs),
            left_out=output if output != source else None,
            fids=self.holds == "fids",
            deep=deep,
        )

    @property
    def _source(self) -> Path:
        return Path(str(self.dataset_dir)).expanduser().absolute()

    def _folder_of(self, path: Path) -> str:
        """Return the folders between ``dataset_dir`` and an input; empty for a datalist and for files in it."""
        if self.dataset_dir is None or not self._source.is_dir() or not path.parent.is_relative_to(self._source):
            return ""
        folder = path.parent.relative_to(self._source).as_posix()
        return "" if folder == "." else folder

    def _place(self, item: Mapping[str, str]) -> dict[str, str]:
        folder = self._folder_of(Path(item["image"]))
        return {FOLDER: folder} if folder else {}

    @property
    def _wanted(self) -> str:
        return "NIfTI-MRS files (.nii, .nii.gz)" if self.holds == "fids" else ".nii, .nii.gz or .mnc maps"

    def _why_none(self, source: Path) -> str:
        if source.suffix.lower() == ".json" and source.is_file():
            return "; its list is empty"
        found = self._found(source)
        named = [*found.companions, *found.results, *found.unused, *self.masks]
        if named:
            return f": {named[0].name} and all others are companions, results or no maps; add the maps they belong to"
        return f"; give {self._wanted}"

    def unknown_keys(self) -> list[str]:
        """Return the keys of a datalist's entries that are neither the image nor a companion, in order."""
        if self._source.suffix.lower() != ".json":
            return []
        entries = _datalist(self._source)
        keys = dict.fromkeys(k for entry in entries if isinstance(entry, Mapping) for k in entry)
        return [str(key) for key in keys if key != "image" and key not in self.companions]

    def unused(self) -> dict[Path, str]:
        """Return the reason for each image of the folder that is not used."""
        if self._source.suffix.lower() == ".json":
            return {}
        found, items = self._found(self._source), self.whole().items()
        used = {Path(path) for item in items for path in self.sources(item).values()}
        sessions = len({read_name(stem_of(item["image"])).session for item in items})
        why = "belongs to no map" + (
            f"; the maps are of {sessions} sessions: name it after one" if sessions > 1 else ""
        )
        alone = {
            path: why
            for path in found.companions
            if self._source.is_dir() and path not in used and not any(other.is_relative_to(path) for other in used)
        }
        masks = dict.fromkeys(self.masks, "holds only 0 and 1: it is a mask, not a map")
        return dict(sorted({**found.unused, **alone, **masks}.items()))

    def table(self) -> list[str]:
        """Describe in lines what was found: cases, maps, companions, results, and files that are not used."""
        folder = self._source.suffix.lower() != ".json"
        results = len(self._found(self._source).results) if folder else 0
        unused = self._named_from_here()
        return table(self.cases(), self.items(), companions=self.companions, results=results, unused=unused)

    def _named_from_here(self) -> dict[str, str]:
        """Return :meth:`unused` with the names of the files from ``dataset_dir`` on."""
        root = self._source if self._source.is_dir() else self._source.parent
        return {os.path.relpath(path, root): why for path, why in self.unused().items()}

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
        if self.holds == "maps":
            self.masks = []
            self.masks = [path for path in self.files if is_mask(path)]
        items = self.items()
        doubled = self._doubled_companions(items)
        twins: dict[str, list[str]] = {}
        for other in self.whole().files:
            # Ignore case: on many file systems the outputs of a.nii and A.nii would be the same file.
            twins.setdefault(self.name_of(other).lower(), []).append(str(other))
        self.invalid = {}
        for item in tqdm(items, desc="checking inputs", unit="file", delay=2):
            path = item["image"]
            lines = []
            name = self.name_of(path)
            same = [other for other in twins[name.lower()] if other != path]
            if len(twins[name.lower()]) > 1:
                lines.append(f"{path}: has the output names of {', '.join(same) or 'itself'} too; rename or remove one")
            if self.output_dir is not None and self.record_path(name).exists() and not self._record(path):
                record = self.record_path(name)
                lines.append(f"{path}: {record} is there and not ours to replace; choose another output_dir")
            if self.needed and not set(self.needed) & set(item):
                wanted = " or ".join(f"{stem_of(path)}_{needed}.nii.gz" for needed in self.needed)
                lines.append(f"{path}: has none of the companions that this method needs; give {wanted}")
            lines += doubled.get(path, []) + self.problems_of(item)
            if lines:
                self.invalid[path] = lines
        return self.invalid

    def problems_of(self, item: Mapping[str, str]) -> list[str]:
        """Check the content of one input and its companions; return one line per problem."""
        if self.holds == "fids":
            return fid_problems(item, self.companions)
        return input_problems(item, self.companions, self.least_slices)

    def datalist(self) -> list[dict[str, str]]:
        """List the inputs to compute.

        Returns:
            Items as in :meth:`items`, without those that :meth:`check` has found invalid, those that another run
            computes (see :meth:`claim`) and, unless ``overwrite``, those that are done. Empty if ``dataset_dir`` is not
            given, so that a config can be built without it.
        """
        if self.dataset_dir is None:
            return []
        return [item for item in self.items() if self.is_to_do(item["image"])]

    def is_to_do(self, path: str) -> bool:
        """Tell whether this run computes an input."""
        if path in self.invalid or path in self.taken:
            return False
        return self.overwrite or not self.is_done(path)

    @property
    def taken(self) -> list[str]:
        """Inputs that another run computes."""
        return [] if self._claims is None else self._claims.taken

    def claim(self) -> None:
        """Take the inputs to do, so that no other run computes them meanwhile; :attr:`taken` are those it has taken."""
        self._claims = None
        to_do = {item["image"]: self.name_of(item["image"]) for item in self.datalist()}
        self._claims = Claims(Path(str(self.output_dir)).expanduser(), to_do)

    def release(self) -> bool:
        """Give up the claims. Return whether no other run is at work in the output folder."""
        return self._claims is None or self._claims.release()

    def is_done(self, path: str | Path) -> bool:
        """Tell whether ``output_dir`` holds all outputs of the input ``path``, including the record (written last).

        The record names those of the optional outputs that this input has.
        """
        if self.output_dir is None:
            return False
        record = self._record(path)
        outputs = [
            self.output_path(self.name_of(path), suffix) for suffix in (*self.outputs, *record.get("outputs", ()))
        ]
        return bool(record) and all(output.exists() for output in outputs)

    def output_path(self, name: str, suffix: str) -> Path:
        """Return ``<output_dir>/<name>_<suffix>.nii.gz`` for the input of a name (:meth:`name_of`)."""
        return Path(str(self.output_dir)).expanduser() / f"{name}_{suffix}.nii.gz"

    def record_path(self, name: str) -> Path:
        """Return ``<output_dir>/<name>.json``, the provenance of one input."""
        return Path(str(self.output_dir)).expanduser() / f"{name}.json"

    def _record(self, path: str | Path) -> dict[str, Any]:
        """Return the record of an input; empty if there is none or if mrsikit did not write the file."""
        return read_record(self.record_path(self.name_of(path)))

    def _doubled_companions(self, items: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
        folders = {Path(item["image"]).parent for item in items}
        found = [self._found(folder, deep=False) for folder in folders]
        return {
            path: [
                f"{path}: has two companions {' and '.join(p.name for p in paths)}; keep one"
                for paths in named.values()
                if len(paths) > 1
            ]
            for path, named in self._attached(items, found).items()
        }

    def _read_datalist(self, source: Path) -> list[dict[str, str]]:
        return [self._entry(entry, source) for entry in _datalist(source)]

    def _entry(self, entry: object, source: Path) -> dict[str, str]:
        if isinstance(entry, str):
            entry = {"image": entry}
        if not isinstance(entry, Mapping) or not isinstance(entry.get("image"), str):
            raise InputError(f'{source}: entry {str(entry)[:80]} names no image; give {{"image": path}}')
        names: Iterable[str] = ("image", *(name for name in self.companions if isinstance(entry.get(name), str)))
        return {name: str((source.parent / Path(entry[name]).expanduser()).absolute()) for name in names}


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
