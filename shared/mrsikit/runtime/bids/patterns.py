"""Patterns that say which files of a BIDS dataset are maps, and which belong to a map.

A JSON file holds, for ``image`` and for each companion of a bundle, one pattern or a list of them, the preferred one
first::

    {"image": {"met": "*", "desc": "signal", "suffix": "mrsi"}, "crlb": {"met": "*", "desc": "crlb", "suffix": "mrsi"}}

A pattern gives the label of each entity, in which ``*`` stands for any text; a list gives several, and null says that
the name has no such entity. Entities that a pattern leaves out may have any label or be absent, but for ``desc``: it
must then be absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.names import BidsName

DEFAULT = Path(__file__).with_name("patterns.json")
"""Patterns for the maps of a whole-brain pipeline (``desc-signal_mrsi``), for ``_mrsimap``, and for our own results."""

IMAGE, SUFFIX, DESC = "image", "suffix", "desc"


@dataclass(frozen=True)
class Pattern:
    """A pattern of file names.

    Args:
        labels: labels that an entity, or the ``suffix``, may have; None among them: it may be absent.

    Example:
        >>> from mrsikit.runtime.bids.names import read_bids_name
        >>> Pattern({"met": ("*",), "suffix": ("mrsimap",)}).matches(read_bids_name("sub-01_met-NAA_mrsimap"))
        True
    """

    labels: Mapping[str, tuple[str | None, ...]]

    def matches(self, name: BidsName) -> bool:
        """Whether a name is of this pattern."""
        parts = {**name.entities, SUFFIX: name.suffix}
        wanted = {DESC: (None,), **self.labels}
        return all(_is_one_of(parts.get(key), labels) for key, labels in wanted.items())


def _is_one_of(label: str | None, wanted: Sequence[str | None]) -> bool:
    if label is None:
        return None in wanted
    return any(one is not None and fnmatchcase(label, one) for one in wanted)


def read_patterns(path: Path | None) -> dict[str, list[Pattern]]:
    """Read the patterns of a file, and the default ones for what it leaves out.

    Args:
        path: a JSON file; None: the default patterns alone.

    Returns:
        For ``image`` and each companion its patterns, the preferred one first.

    Raises:
        InputError: the file cannot be read or holds no patterns; one line for each problem.
    """
    default = json.loads(DEFAULT.read_text(encoding="utf-8"))
    content = default if path is None else _read(path)
    out, problems = {}, []
    for key, value in (default | content).items():
        entries = value if isinstance(value, list) else [value]
        if key not in default:
            problems.append(f"{path}: {key!r} is nothing that a bundle reads; give one of {', '.join(default)}")
        elif not entries or not all(_is_pattern(entry) for entry in entries):
            right = '{"met": "*", "desc": "signal", "suffix": "mrsi"}'
            problems.append(f"{path}: {key!r} is no pattern with a suffix; give labels as in {right}")
        else:
            out[key] = [Pattern({name: _labels(labels) for name, labels in entry.items()}) for entry in entries]
    if problems:
        raise InputError("\n".join(problems))
    return out


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no JSON that can be read ({str(error)[:100]}); see docs/howto/bids.md") from error
    if not isinstance(content, dict):
        raise InputError(f'{path}: holds no object; give {{"image": {{"suffix": "mrsimap"}}}}')
    return content


def _is_pattern(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and SUFFIX in entry
        and all(label is None or isinstance(label, str) for value in entry.values() for label in _labels(value))
    )


def _labels(value: object) -> tuple:
    return tuple(value) if isinstance(value, list) else (value,)
