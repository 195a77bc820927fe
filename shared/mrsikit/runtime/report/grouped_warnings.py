"""Group the warnings of many files for the first screen of a report: each once, with the files that it concerns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w])")


def grouped(by_file: Mapping[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Group warnings that differ in their numbers alone.

    Args:
        by_file: warnings of each file.

    Returns:
        Each warning with its files, the most common one first. Numbers that differ are given as a range, such as
        "71 to 333 poor fits were left".

    Example:
        >>> grouped({"a": ["3 voxels lost"], "b": ["7 voxels lost", "no mask"]})
        [('3 to 7 voxels lost', ['a', 'b']), ('no mask', ['b'])]
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for file, warnings in by_file.items():
        for warning in warnings:
            groups.setdefault(NUMBER.sub("#", warning), {}).setdefault(file, []).append(warning)
    found = [(_one(sum(files.values(), [])), list(files)) for files in groups.values()]
    return sorted(found, key=lambda pair: -len(pair[1]))


def _one(warnings: Sequence[str]) -> str:
    """Merge warnings that differ in their numbers alone."""
    columns = [list(dict.fromkeys(column)) for column in zip(*map(NUMBER.findall, warnings), strict=True)]
    ranges = iter(_range(column) for column in columns)
    return NUMBER.sub(lambda _: next(ranges), warnings[0])


def _range(numbers: Sequence[str]) -> str:
    ends = min(numbers, key=float), max(numbers, key=float)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
