"""Claims of a run on its inputs, so that two runs on one folder do not compute an input twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

FOLDER = ".claims"
MOMENT = 0.1
"""Seconds in which a run that ends has looked at a lock."""

SUMMARY = ".summary.lock"
"""Lock of summary.csv. The dot tells it from the claim on an input, because hidden files are no inputs."""


class Claims:
    """Locks of a run, one for each input that it computes.

    A run is a process: it may claim again what it holds. The operating system frees the locks of a run that ends or is
    killed. Locks are files in a hidden folder of the outputs, so runs on several machines see each other where their
    file system shares locks.

    Args:
        output_dir: folder of the outputs.
        names: name of each input by its path. Those that no other run has claimed are claimed.

    Attributes:
        taken: paths of the inputs that another run has claimed.
    """

    def __init__(self, output_dir: Path, names: Mapping[str, str]) -> None:
        self.folder = output_dir / FOLDER
        self.taken: list[str] = []
        self._locks: list[FileLock] = []
        self._claim(names)
        if self.taken:  # or did a run that ends only look whether they are free?
            time.sleep(MOMENT)
            self._claim({path: names[path] for path in self.taken})

    def _claim(self, names: Mapping[str, str]) -> None:
        self.taken = []
        for path, name in names.items():
            try:
                self._locks.append(_acquired(self.folder / f"{name}.lock", wait=False))
            except Timeout:
                self.taken.append(path)

    def release(self) -> bool:
        """Give up all claims, and delete the files of those that no run holds.

        Returns:
            Whether no other run holds a claim in the folder.
        """
        for lock in self._locks:
            lock.release()
        self._locks = []
        with suppress(FileNotFoundError):  # a run that ends at the same time deletes the folder, too
            # In one order, and only up to the first that is held: of two runs that end together, one finds all free.
            if not all(_is_free(file) for file in sorted(self.folder.rglob("*.lock"))):
                return False
            _delete_empty(self.folder)
        return True


@contextmanager
def summary_lock(output_dir: Path) -> Iterator[None]:
    """Hold the lock of summary.csv, once no other run holds it: a run reads the rows of others and writes all again."""
    lock = _acquired(output_dir / FOLDER / SUMMARY, wait=True)
    try:
        yield
    finally:
        lock.release()


def _acquired(file: Path, *, wait: bool) -> FileLock:
    """Return a lock that this run holds.

    Raises:
        Timeout: another run holds it, and ``wait`` is False.
    """
    lock = FileLock(file, is_singleton=True)
    while True:
        with suppress(FileNotFoundError):  # a run that ended has deleted the folder
            file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=wait)
            return lock


def _is_free(file: Path) -> bool:
    """Whether no run holds a lock; a free one is deleted."""
    try:
        lock = _acquired(file, wait=False)
    except Timeout:
        return False
    file.unlink(missing_ok=True)
    lock.release()
    return True


def _delete_empty(folder: Path) -> None:
    """Delete the folders in a folder and the folder itself, unless another run has put a claim there meanwhile."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with suppress(OSError):
            path.rmdir()
