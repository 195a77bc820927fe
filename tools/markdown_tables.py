"""Tables, lists of contents and generated parts of Markdown files."""

import re
from collections.abc import Sequence
from pathlib import Path


def table_line(cells: Sequence[str]) -> str:
    """Write the cells of one line. A bar in a text is escaped, because it would begin another cell."""
    texts = [cell.replace("|", "\\|") for cell in cells]
    return "|" + "".join(f" {text} |" if text else " |" for text in texts)


def table_head(titles: Sequence[str]) -> list[str]:
    """Write the first two lines of a table."""
    return [table_line(titles), "|" + "---|" * len(titles)]


def anchor(title: str) -> str:
    """Name that GitHub gives to a heading, for links to it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def contents(text: str) -> str:
    """List of links to the headings of the second level."""
    return "\n".join(f"- [{title}](#{anchor(title)})" for title in re.findall(r"^## (.+)$", text, re.MULTILINE))


def markers(name: str) -> tuple[str, str]:
    """Comments between which the generated part of this name stands."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def put_between_markers(text: str, name: str, part: str) -> str:
    """Replace what stands between the markers of a generated part.

    Raises:
        ValueError: the text has no such markers.
    """
    begin, end = markers(name)
    if begin not in text or end not in text.split(begin, 1)[1]:
        raise ValueError(f"the text has no {begin} ... {end}")
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n\n{part}\n\n{end}{rest.split(end, 1)[1]}"


def write_between_markers(path: Path, name: str, part: str) -> None:
    """Replace what stands between the markers of a generated part of a file.

    Raises:
        ValueError: the file has no such markers.
    """
    path.write_text(put_between_markers(path.read_text(encoding="utf-8"), name, part), encoding="utf-8")
