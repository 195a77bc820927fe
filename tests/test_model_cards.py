"""Model cards and guides: short, their tables and links work, and their figures are those of the results."""

import importlib
import json
import re
from pathlib import Path

import pytest

from markdown_tables import anchor, markers
from result_tables import MOST_COLUMNS, render_results

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLES = sorted(path for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
GUIDES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("bundles/*/docs/*.md")]
FIRST_PAGES = [REPOSITORY / "README.md", *(bundle / "docs" / "README.md" for bundle in BUNDLES)]
PICTURE = ("![", "<img ")
MOST_LINES, LONGEST_LINE, LONGEST_ROW = 150, 130, 300
PAPERS = {
    "mrsi_inpainting": "10.48550/arXiv.2505.06811",
    "mrsi_super_resolution": "10.1177/03000605251330578",
    "mrsi_gan_super_resolution": "10.1093/noajnl/vdac071",
    "dmi_quantification": "10.48550/arXiv.2309.04100",
    "mrs_vae_synthesis": "10.48550/arXiv.2603.00736",
}
SECTIONS = [
    "Run it",
    "Inputs",
    "Outputs",
    "How good it is",
    "How it was trained",
    "Paper",
    "Licence",
    "Where the rest stands",
]
NO_FIGURES = re.compile(  # what looks like a figure of a result, and is none
    r"```.*?```|`[^`]*`|\]\([^)]*\)|doi:\S+|\d+\.\d+ (?:ppm|mm|T|Hz)|Python 3\.\d+|[Aa]pache(?: License |-)2\.0",
    re.DOTALL,
)
FIGURE = re.compile(r"\d*\.\d+|\d+ ?%")


def named(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def cells(line: str) -> int:
    """Cells of a table's line, as Markdown counts them: a bar ends a cell, also inside code, but not after ``\\``."""
    return len(re.findall(r"(?<!\\)\|", line.strip())) - 1


def broken_lines(text: str) -> list[str]:
    """Lines that keep a table from being one: another number of cells than the first, or no delimiters below it."""
    broken: list[str] = []
    wanted, row, code = 0, 0, False
    for number, line in enumerate(text.splitlines(), start=1):
        code ^= line.lstrip().startswith("```")
        if code or not line.startswith("|"):
            row = 0
            continue
        row += 1
        if row == 1:
            wanted = cells(line)
        elif cells(line) != wanted:
            broken.append(f"line {number} has {cells(line)} cells, its table {wanted}: {line[:60]}")
        elif row == 2 and not re.fullmatch(r"\|(:?-{3,}:?\|)+", line):
            broken.append(f"line {number} is no line of delimiters: {line[:60]}")
    return broken


def between(text: str, name: str) -> str:
    begin, end = markers(name)
    return text.split(begin, 1)[1].split(end, 1)[0].strip("\n")


def without_generated(text: str) -> str:
    return re.sub(r"<!-- (\w+):begin -->.*?<!-- \1:end -->", "", text, flags=re.DOTALL)


def typed_figures(text: str) -> list[str]:
    """Figures that nobody made from results: numbers with a decimal point, and percentages."""
    return FIGURE.findall(NO_FIGURES.sub("", without_generated(text)))


def headings(text: str) -> list[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [anchor(title) for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)]


@pytest.mark.parametrize("guide", GUIDES, ids=named)
def test_every_table_renders(guide: Path) -> None:
    assert not broken_lines(read(guide))


def test_what_breaks_a_table_is_found() -> None:
    assert broken_lines("| a | mean |b| |\n|---|---|\n| 1 | 2 |") == [
        "line 2 has 2 cells, its table 4: |---|---|",
        "line 3 has 2 cells, its table 4: | 1 | 2 |",
    ]
    assert broken_lines("| a | mean \\|b\\| |\n|---|---|\n| 1 | 2 |\n\n| c |\n|---|") == []
    assert broken_lines("| a | b |\n| 1 | 2 |") == ["line 2 is no line of delimiters: | 1 | 2 |"]


@pytest.mark.parametrize("guide", GUIDES, ids=named)
def test_links_lead_somewhere(guide: Path) -> None:
    text = re.sub(r"```.*?```", "", read(guide), flags=re.DOTALL)
    for link in re.findall(r"(?:\]\(|src=\")([^)\"\s]+)", text):
        path, _, place = link.partition("#")
        if path.startswith("http"):
            continue
        target = guide.parent / path if path else guide
        assert target.exists(), link
        if place:
            assert headings(read(target)).count(place) == 1, link


@pytest.mark.parametrize("page", FIRST_PAGES, ids=named)
def test_first_pages_are_short(page: Path) -> None:
    lines = read(page).splitlines()
    assert len(lines) <= MOST_LINES
    long = [line for line in lines if len(line) > (LONGEST_ROW if line.startswith("|") else LONGEST_LINE)]
    assert not [line for line in long if not line.startswith(PICTURE)]
    assert any(line.startswith(PICTURE) for line in lines)


@pytest.mark.parametrize("page", FIRST_PAGES, ids=named)
def test_first_pages_have_no_typed_figures(page: Path) -> None:
    assert not typed_figures(read(page))


@pytest.mark.parametrize(
    ("text", "found"),
    [("a PSNR of 31.2 dB", ["31.2"]), ("| .91 |", [".91"]), ("| 12 % lost |", ["12 %"]), ("10 mm, 11 minutes", []),
     ("`--noise 0.3`, ON 1.9 ppm", []), ("<!-- headline:begin -->\n| 0.2 |\n<!-- headline:end -->", [])],
)  # fmt: skip
def test_a_typed_figure_is_found(text: str, found: list[str]) -> None:
    assert typed_figures(text) == found


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_figures_are_those_of_the_results(bundle: Path) -> None:
    module = importlib.import_module(f"benchmarks.{bundle.name}")
    rows = json.loads(read(bundle / "docs" / "results.json"))["rows"]
    assert between(read(bundle / "docs" / "results.md"), "results") == render_results(rows, module)
    assert between(read(bundle / "docs" / "README.md"), "headline") == module.HEADLINE.render(rows)
    metadata = json.loads(read(bundle / "configs" / "metadata.json"))
    assert metadata["eval_metrics"] == module.HEADLINE.metrics(rows)
    assert set(metadata["eval_metrics"]) == {column.name for column in module.HEADLINE.columns}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_headline_has_few_methods_and_figures(bundle: Path) -> None:
    headline = importlib.import_module(f"benchmarks.{bundle.name}").HEADLINE
    assert len(headline.columns) == 3
    assert len(headline.methods) == 4
    assert headline.ours in headline.methods


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_tables_of_results_are_narrow_and_all_listed(bundle: Path) -> None:
    text = read(bundle / "docs" / "results.md")
    assert max(cells(line) for line in text.splitlines() if line.startswith("|")) <= MOST_COLUMNS
    listed = re.findall(r"^- \[.+\]\(#(.+)\)$", text, re.MULTILINE)
    tables = [anchor(title) for title in re.findall(r"^## (.+)$", between(text, "results"), re.MULTILINE)]
    assert listed == tables
    assert len(set(tables)) == len(tables) > 5


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_card_has_its_parts_in_order(bundle: Path) -> None:
    front, text = re.match(r"---\n(.+?)\n---\n\n(.+)", read(bundle / "docs" / "README.md"), re.DOTALL).groups()
    assert all(re.fullmatch(r"- \S.*|\w+:( \S.*)?", line) for line in front.splitlines())
    assert {"license: apache-2.0", "library_name: monai", "tags:", "- monai"} <= set(front.splitlines())
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert "what not" in titles[0].lower()
    assert titles[1:] == SECTIONS
    first = text.partition("## ")[0]
    assert "not for diagnosis" in first
    assert any(line.startswith(PICTURE) for line in first.splitlines())


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_card_names_its_paper_with_doi(bundle: Path) -> None:
    paper = " ".join(read(bundle / "docs" / "README.md").split("## Paper\n")[1].split("\n## ")[0].split())
    assert "The paper behind this bundle" in paper
    assert f"doi:{PAPERS[bundle.name]}" in paper
    stated = json.loads(read(bundle / "configs" / "metadata.json"))["references"]
    assert f"doi:{PAPERS[bundle.name]}" in stated[0]


@pytest.mark.parametrize("guide", GUIDES, ids=named)
def test_nothing_was_demanded(guide: Path) -> None:
    assert not re.search(r"demanded|acceptance", read(guide), re.IGNORECASE)
