"""Group the warnings of many files for the first screen of a report: each once, with the files that it concerns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w])")

OF = re.compile(r"\d of \d")

MADE_BEFORE = "was made before with other"
"""How the warning begins that a result does not belong to this run."""

ASKS = re.compile(r"\b(give|set)\b")
"""A warning with one of these words asks for what the user can give: a file, such as a brain mask, or an option. What
is given for all inputs mends them all, so such a warning comes before others."""


def most_urgent_first(warnings: Sequence[str]) -> list[str]:
    """Order the warnings of one file: first that it is out of date, then what asks for something, then the others.

    Example:
        >>> most_urgent_first(["3 voxels lost", "no outline: give a brain mask"])
        ['no outline: give a brain mask', '3 voxels lost']
    """
    return sorted(warnings, key=_urgency)


def _urgency(warning: str) -> tuple[bool, bool]:
    return not warning.startswith(MADE_BEFORE), not ASKS.search(warning)


def grouped(by_file: Mapping[str, Sequence[str]]) -> list[tuple[str, dict[str, str]]]:
    """Group warnings that differ in their numbers alone.

    Args:
        by_file: warnings of each file.

    Returns:
        Each warning, with its files and what differs in each. A number that differs is given as a range, such as "71 to
        333 poor fits were left". Where several differ, as in "21 of 48", the warning is that of the first file, the one
        with the largest number. Results that are out of date come first. Then come warnings that ask for something
        (:data:`ASKS`), the commonest first; then those that count something; then the others. Among these the rarest
        come first, since they single out files; in a group, the file with the largest number.

    Example:
        >>> grouped({"a": ["3 voxels lost", "no mask"], "b": ["7 voxels lost", "no mask"], "c": ["no mask"]})
        [('3 to 7 voxels lost', {'b': '7', 'a': '3'}), ('no mask', {'a': '', 'b': '', 'c': ''})]
    """
    groups: dict[str, dict[str, str]] = {}
    for file, warnings in by_file.items():
        for warning in warnings:
            groups.setdefault(NUMBER.sub("#", warning), {}).setdefault(file, warning)
    out = []
    for files in groups.values():
        columns = list(zip(*map(NUMBER.findall, files.values()), strict=True))
        differ = [k for k, column in enumerate(columns) if len(set(column)) > 1]
        own = {file: [NUMBER.findall(warning)[k] for k in differ] for file, warning in files.items()}
        order = sorted(own, key=lambda file: [-float(number) for number in own[file]])
        text = _one(list(files.values())) if len(differ) < 2 else f"{files[order[0]]} (in {order[0]}; others below)"
        joint = " of " if OF.search(text) else ", "
        out.append((text, {file: joint.join(own[file]) for file in order}))
    return sorted(out, key=_rank)


def _rank(group: tuple[str, Mapping[str, str]]) -> tuple[bool, bool, bool, int]:
    text, files = group
    if ASKS.search(text):
        return *_urgency(text), False, -len(files)
    return *_urgency(text), not NUMBER.search(text), len(files)


def telling(by_file: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Choose of each file the warning that says most of it; "" if all files share its warnings.

    That is one that counts something, if there is one, and among those the one that fewest files share.

    Example:
        >>> telling({"a": ["no mask", "3 voxels lost"], "b": ["no mask"], "c": ["no mask"]})
        {'a': '3 voxels lost', 'b': '', 'c': ''}
    """
    shared = Counter(kind for warnings in by_file.values() for kind in {NUMBER.sub("#", w) for w in warnings})
    out = {}
    for file, warnings in by_file.items():
        own = [warning for warning in warnings if shared[NUMBER.sub("#", warning)] < len(by_file)]
        out[file] = min(
            own,
            key=lambda w: (not w.startswith(MADE_BEFORE), not NUMBER.search(w), shared[NUMBER.sub("#", w)]),
            default="",
        )
    return out


def _one(warnings: Sequence[str]) -> str:
    """Merge warnings that differ in their numbers alone."""
    columns = [list(dict.fromkeys(column)) for column in zip(*map(NUMBER.findall, warnings), strict=True)]
    ranges = iter(_range(column) for column in columns)
    return NUMBER.sub(lambda _: next(ranges), warnings[0])


def _range(numbers: Sequence[str]) -> str:
    ends = min(numbers, key=float), max(numbers, key=float)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
