"""Model cards and guides: their tables render, and every card names the paper behind its bundle."""

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
GUIDES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("bundles/*/docs/*.md")]
PAPERS = {
    "mrsi_inpainting": "10.48550/arXiv.2505.06811",
    "mrsi_super_resolution": "10.1177/03000605251330578",
    "mrsi_gan_super_resolution": "10.1093/noajnl/vdac071",
    "dmi_quantification": "10.48550/arXiv.2309.04100",
    "mrs_vae_synthesis": "10.48550/arXiv.2603.00736",
}


def cells(line: str) -> int:
    """Cells of a table's line, as Markdown counts them: a bar ends a cell, also inside code, but not after ``\\``."""
    return len(re.findall(r"(?<!\\)\|", line.strip())) - 1


def broken_lines(text: str) -> list[str]:
    """Lines whose number of cells is not that of the first line of their table."""
    broken: list[str] = []
    wanted, code = None, False
    for number, line in enumerate(text.splitlines(), start=1):
        code ^= line.lstrip().startswith("```")
        if code or not line.startswith("|"):
            wanted = None
            continue
        wanted = wanted or cells(line)
        if cells(line) != wanted:
            broken.append(f"line {number} has {cells(line)} cells, its table {wanted}: {line[:60]}")
    return broken


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_line_of_a_table_has_as_many_cells(guide: Path) -> None:
    assert not broken_lines(guide.read_text(encoding="utf-8"))


def test_a_bar_in_a_cell_is_found() -> None:
    assert broken_lines("| a | mean |b| |\n|---|---|\n| 1 | 2 |") == [
        "line 2 has 2 cells, its table 4: |---|---|",
        "line 3 has 2 cells, its table 4: | 1 | 2 |",
    ]
    assert broken_lines("| a | mean \\|b\\| |\n|---|---|\n| 1 | 2 |\n\n| c |\n|---|") == []


@pytest.mark.parametrize("bundle", sorted(path.name for path in (REPOSITORY / "bundles").iterdir() if path.is_dir()))
def test_the_card_names_its_paper_with_doi(bundle: str) -> None:
    folder = REPOSITORY / "bundles" / bundle
    references = (folder / "docs" / "README.md").read_text(encoding="utf-8").split("## References")[1]
    entries = [" ".join(entry.split()) for entry in references.split("\n- ")]
    (paper,) = (entry for entry in entries if "The paper behind this bundle" in entry)
    assert f"doi:{PAPERS[bundle]}" in paper
    stated = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))["references"]
    assert f"doi:{PAPERS[bundle]}" in stated[0]
