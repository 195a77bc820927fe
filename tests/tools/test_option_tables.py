import pytest

from option_tables import with_table


def test_a_table_replaces_what_stands_between_the_marks() -> None:
    card = "a\n<!-- options:begin -->\nold\n<!-- options:end -->\nb"
    once = with_table(card, "| new |")
    assert once == "a\n<!-- options:begin -->\n\n| new |\n\n<!-- options:end -->\nb"
    assert with_table(once, "| new |") == once
    with pytest.raises(ValueError, match="no <!-- options:begin -->"):
        with_table("a card", "| new |")
