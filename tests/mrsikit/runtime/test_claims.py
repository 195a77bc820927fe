import subprocess
import sys
from pathlib import Path

from mrsikit.runtime.claims import Claims

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
