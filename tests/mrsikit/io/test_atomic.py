from pathlib import Path

import pytest

from mrsikit.io.atomic import whole_or_nothing, write_text_atomically


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "new" / "a.csv", "µ\n")
    with open(tmp_path / "new" / "a.csv", encoding="utf-8") as reader:
        write_text_atomically(tmp_path / "new" / "a.csv", "b\n")
        assert reader.read() == "µ\n"  # who had the old file open has all of it: it was renamed over, not written into
    assert [path.read_bytes() for path in (tmp_path / "new").iterdir()] == [b"b\n"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def write_half() -> None:
        with whole_or_nothing(tmp_path / "a.nii.gz") as partial:
            partial.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert list(tmp_path.iterdir()) == []
