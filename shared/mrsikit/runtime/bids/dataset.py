"""Find the metabolite maps of BIDS datasets, and the bounds, masks and MRIs that belong to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrsikit.io.errors import InputError
from mrsikit.io.readers import split_name, stem_of
from mrsikit.runtime.bids.names import BidsName, read_bids_name
from mrsikit.runtime.bids.patterns import DESC, IMAGE, Pattern

ANATOMY, BOUNDS = "anatomy", "percent"
"""Kinds of companions that have rules of their own, see :class:`mrsikit.runtime.InputFolder`."""

OF_SESSION = ("sub", "ses")
"""Entities in which an MRI agrees with the maps of its session; the others are of its own acquisition."""


@dataclass(frozen=True)
class BidsFile:
    """An image of a dataset: its path, the parts of its name, and the root of the dataset."""

    path: Path
    name: BidsName
    dataset: Path


@dataclass(frozen=True)
class BidsMap:
    """A metabolite map and the files that belong to it, by the bundle's names of companions."""

    file: BidsFile
    companions: Mapping[str, BidsFile]


def list_images(datasets: Sequence[Path]) -> dict[str, list[BidsFile]]:
    """List the NIfTI files of each participant, by the participant's label.

    Args:
        datasets: roots of BIDS datasets. Files of the first come first.

    Raises:
        InputError: a dataset does not exist, or none holds a participant.
    """
    out: dict[str, list[BidsFile]] = {}
    for dataset in datasets:
        if not dataset.is_dir():
            raise InputError(f"{dataset}: is no folder; give the root of a BIDS dataset")
        for folder in sorted(path for path in dataset.glob("sub-*") if path.is_dir()):
            files = out.setdefault(folder.name.removeprefix("sub-"), [])
            for path in sorted(folder.rglob("*.nii*")):
                name = read_bids_name(stem_of(path))
                hidden = any(part.startswith(".") for part in path.relative_to(dataset).parts)
                if name and not hidden and split_name(path.name)[1] and f"sub-{name.participant}" == folder.name:
                    files.append(BidsFile(path, name, dataset))
    if not out:
        raise InputError(f"{datasets[0]}: holds no participants; give the folder in which the folders sub-<label> lie")
    return out


def choose_labels(wanted: Iterable[str] | None, known: Iterable[str], what: str, place: Path) -> list[str]:
    """Choose participants or sessions by their labels.

    Args:
        wanted: labels, with or without ``sub-`` or ``ses-``; None: all.
        known: labels that there are.
        what: "participant" or "session".
        place: the dataset, for the messages.

    Raises:
        InputError: a label is not known; one line for each.
    """
    known = sorted(set(known))
    if wanted is None:
        return known
    labels = [label.removeprefix("sub-" if what == "participant" else "ses-") for label in wanted]
    there = ", ".join(known) or "none"
    unknown = [f"--{what}-label {label}: is no {what} of {place}; there are {there}" for label in labels]
    unknown = [line for label, line in zip(labels, unknown, strict=True) if label not in known]
    if unknown:
        raise InputError("\n".join(unknown))
    return [label for label in known if label in labels]


def dataset_of_maps(
    datasets: Sequence[Path], images: Mapping[str, Sequence[BidsFile]], patterns: Sequence[Pattern]
) -> Path | None:
    """Return the first dataset that holds maps, of whichever participant; None if none does.

    Maps are read from one dataset alone. Else a participant without filled maps would be read unfilled, from the
    dataset that gives the MRIs.

    Args:
        datasets: roots of the datasets.
        images: their images, see :func:`list_images`.
        patterns: those of the maps.
    """
    holding = {file.dataset for files in images.values() for file in _ranked(files, patterns)}
    return next((dataset for dataset in datasets if dataset in holding), None)


def match_maps(
    files: Sequence[BidsFile],
    patterns: Mapping[str, Sequence[Pattern]],
    companions: Mapping[str, str],
    *,
    dataset: Path,
) -> list[BidsMap]:
    """Find the maps of a participant and what belongs to them.

    A companion belongs to a map if it agrees in all entities that its own name has, but for ``desc``: without ``met``
    it serves all metabolites of a session. An MRI must agree in participant and session alone. Bounds belong to the
    maps of their own dataset: those of a fit say nothing about the voxels that were filled since. The pattern that
    stands first wins, then the dataset that stands first, then the file that agrees in more entities.

    Args:
        files: images of one participant.
        patterns: see :func:`mrsikit.runtime.bids.patterns.read_patterns`.
        companions: kind of each companion that the bundle takes.
        dataset: the one that holds the maps, see :func:`dataset_of_maps`.

    Raises:
        InputError: two files are the same map, or the same companion of a map; one line for each.
    """
    maps: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for file in _ranked([file for file in files if file.dataset == dataset], patterns[IMAGE]):
        maps.setdefault(_without_desc(file.name), []).append(file)
    problems = []
    out = []
    for same in maps.values():
        try:
            file = _only(same, patterns[IMAGE], "map")
            found = {
                name: own
                for name, kind in companions.items()
                if name in patterns and (own := _companion(file, files, patterns[name], name, kind))
            }
            out.append(BidsMap(file, found))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    return sorted(out, key=lambda found: found.file.path)


def _ranked(files: Sequence[BidsFile], patterns: Sequence[Pattern]) -> list[BidsFile]:
    """Return the files that match, those of the preferred pattern first."""
    matched = [(rank, file) for file in files if (rank := _rank(file, patterns)) < len(patterns)]
    return [file for _, file in sorted(matched, key=lambda pair: pair[0])]


def _rank(file: BidsFile, patterns: Sequence[Pattern]) -> int:
    return next((k for k, pattern in enumerate(patterns) if pattern.matches(file.name)), len(patterns))


def _without_desc(name: BidsName) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, label) for key, label in name.entities.items() if key != DESC))


def _companion(
    of: BidsFile, files: Sequence[BidsFile], patterns: Sequence[Pattern], name: str, kind: str
) -> BidsFile | None:
    agreeing = []
    for file in _ranked(files, patterns):
        if kind == BOUNDS and file.dataset != of.dataset:
            continue
        own = dict(_without_desc(file.name))
        if kind == ANATOMY:
            own = {key: label for key, label in own.items() if key in OF_SESSION}
        if all(of.name.entities.get(key) == label for key, label in own.items()):
            agreeing.append((file, len(own)))
    if not agreeing:
        return None
    first = _rank(agreeing[0][0], patterns), agreeing[0][0].dataset
    agreeing = [pair for pair in agreeing if (_rank(pair[0], patterns), pair[0].dataset) == first]
    most = max(count for _, count in agreeing)
    return _only([file for file, count in agreeing if count == most], patterns, name)


def _only(files: Sequence[BidsFile], patterns: Sequence[Pattern], what: str) -> BidsFile:
    """Return the preferred file.

    Raises:
        InputError: another file of the same dataset matches the same pattern.
    """
    first, *others = files
    best = first.dataset, _rank(first, patterns)
    twin = next((file for file in others if (file.dataset, _rank(file, patterns)) == best), None)
    if twin is not None:
        raise InputError(
            f"{first.path}: is the same {what} as {twin.path.relative_to(twin.dataset)}; keep one, or tell them apart "
            "by --patterns"
        )
    return first
