import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mrsikit.runtime import claims
from mrsikit.runtime.claims import Claims, summary_lock

HOLD = """
import sys
from pathlib import Path
from mrsikit.runtime.claims import Claims
claims = Claims(Path(sys.argv[1]), {"/a": "a", "/b": "s1/b"})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        mine = Claims(tmp_path, {"/a": "a", "/c": "c"})
        assert mine.taken == ["/a"]
        assert not mine.release()
    finally:
        other.kill()
        other.communicate()
    again = Claims(tmp_path, {"/a": "a", "/c": "c"})
    assert again.taken == []
    assert again.release()
    assert list(tmp_path.iterdir()) == []


def test_only_one_holds_the_lock_of_the_table(tmp_path: Path) -> None:
    count = 0

    def add(_: int) -> None:
        nonlocal count
        with summary_lock(tmp_path):
            before = count
            time.sleep(0.001)
            count = before + 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(20)))
    assert count == 20
    with summary_lock(tmp_path), summary_lock(tmp_path):  # it waits for others, not for itself
        pass
    assert Claims(tmp_path, {}).release()
    assert not (tmp_path / ".claims").exists()


def test_what_another_run_only_looks_at_is_not_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".claims").mkdir()
    looking = FileLock(tmp_path / ".claims" / "a.lock")
    looking.acquire()
    monkeypatch.setattr(claims.time, "sleep", lambda _: looking.release())
    mine = Claims(tmp_path, {"/a": "a", "/b": "b"})
    assert mine.taken == []
    assert mine.release()


def test_a_folder_that_vanishes_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire, calls = FileLock.acquire, []

    def vanishing(lock: FileLock, **options: Any) -> Any:
        calls.append(lock)
        if len(calls) == 1:
            (tmp_path / ".claims").rmdir()
            raise FileNotFoundError
        return acquire(lock, **options)

    monkeypatch.setattr(FileLock, "acquire", vanishing)
    mine = Claims(tmp_path, {"/a": "a"})
    assert mine.taken == []
    assert mine.release()
    assert len(calls) >= 2
