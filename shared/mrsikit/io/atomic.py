"""Write files atomically: either the complete file appears or none does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_nothing(path: str | Path) -> Iterator[Path]:
    """Provide a temporary file name beside ``path``; rename the file to ``path`` on success, delete it on failure.

    The name is hidden (leading dot), so that no listing takes it for an input or output. It keeps the ending of
    ``path``, by which nibabel chooses the compression.

    Args:
        path: the file to create or replace. Its folder is created if necessary.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``; at any moment the old file or the complete new one exists.

    Args:
        path: file to create or replace.
        text: text to write, with its line ends unchanged.
    """
    with whole_or_nothing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
