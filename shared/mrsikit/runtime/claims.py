"""Claims of a run on its inputs, so that two runs on one folder do not compute an input twice."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

FOLDER = ".claims"


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
        for path, name in names.items():
            file = self.folder / f"{name}.lock"
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(file, is_singleton=True)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                self.taken.append(path)
            else:
                self._locks.append(lock)

    def release(self) -> bool:
        """Give up all claims, and delete the files of those that no run holds.

        Returns:
            Whether no other run holds a claim in the folder.
        """
        for lock in self._locks:
            lock.release()
        self._locks = []
        if not self.folder.is_dir():
            return True
        # In one order, and only up to the first that is held: of two runs that end together, one finds all free.
        if not all(_is_free(file) for file in sorted(self.folder.rglob("*.lock"))):
            return False
        _delete_empty(self.folder)
        return True


def _is_free(file: Path) -> bool:
    """Whether no run holds a lock; a free one is deleted."""
    lock = FileLock(file, is_singleton=True)
    try:
        lock.acquire(blocking=False)
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
