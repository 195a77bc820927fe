"""Lines of Markdown tables."""

from collections.abc import Sequence


def table_line(cells: Sequence[str]) -> str:
    """Write the cells of one line. A bar in a text is escaped, because it would begin another cell."""
    texts = [cell.replace("|", "\\|") for cell in cells]
    return "|" + "".join(f" {text} |" if text else " |" for text in texts)


def table_head(titles: Sequence[str]) -> list[str]:
    """Write the first two lines of a table."""
    return [table_line(titles), "|" + "---|" * len(titles)]
