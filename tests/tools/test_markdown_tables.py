from pathlib import Path

import pytest

from markdown_tables import anchor, contents, table_line, write_between_markers


def test_a_part_replaces_what_stands_between_its_markers(tmp_path: Path) -> None:
    file = tmp_path / "card.md"
    file.write_text("a\n<!-- options:begin -->\nold\n<!-- options:end -->\nb")
    for _ in range(2):
        write_between_markers(file, "options", "| new |")
        assert file.read_text() == "a\n<!-- options:begin -->\n\n| new |\n\n<!-- options:end -->\nb"
    with pytest.raises(ValueError, match="no <!-- results:begin -->"):
        write_between_markers(file, "results", "| new |")


def test_a_bar_in_a_text_begins_no_cell() -> None:
    assert table_line(["", "mean |b|"]) == "| | mean \\|b\\| |"


@pytest.mark.parametrize(
    ("title", "name"),
    [("Errors at SNR 7.7", "errors-at-snr-77"), ("11^3 voxels", "113-voxels"), ("GABA+: bias, %", "gaba-bias-"),
     ("By _missing", "by-_missing")],
)  # fmt: skip
def test_anchors_are_those_of_github(title: str, name: str) -> None:
    assert anchor(title) == name


def test_contents_list_headings_of_the_second_level() -> None:
    assert contents("# a\n\n## b c\n\n### d\n\n## e") == "- [b c](#b-c)\n- [e](#e)"
