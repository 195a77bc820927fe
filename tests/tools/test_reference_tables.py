"""The papers' numbers are as printed, and what stands beside them are rows of the results."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from markdown_tables import markers
from reference_tables import FILE, named_rows, quotes, read_reference, render_reference

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parents[1] for path in (REPOSITORY / "bundles").glob(f"*/docs/{FILE}"))
PAPERS = REPOSITORY.parent / "shared" / "papers"

ROWS = [
    {"set": "head", "condition": "whole", "method": "U-Net", "metric": "MSE", "mean": 0.00151, "ci95": [0.001, 0.002]},
    {"set": "head", "condition": "whole", "method": "ours", "metric": "MSE", "mean": 0.001, "ci95": [None, None]},
]
REFERENCE: dict[str, Any] = {
    "tables": [
        {
            "title": "Table I",
            "rows": [
                {
                    "name": "MSE",
                    "printed": "0.002",
                    "quote": "U-Net 0.002",
                    "here": ["head", "whole", "U-Net", "MSE"],
                    "default": ["head", "whole", "ours", "MSE"],
                },
                {"name": "SSIM", "printed": "0.97", "quote": "0.97", "here": None},
            ],
        }
    ],
    "claims": [
        {
            "claim": "It fills.",
            "where": "abstract",
            "quote": "fills",
            "verdict": "held",
            "why": "It does.",
            "figures": [{"name": "MSE", "row": ["head", "whole", "U-Net", "MSE"]}],
        }
    ],
}


def test_the_printed_number_stands_beside_ours() -> None:
    text = render_reference(REFERENCE, ROWS)
    assert "| MSE | 0.002 | 0.00151 (0.001 to 0.002) | 0.001 | head |" in text
    assert "| SSIM | 0.97 | – | – | – |" in text
    assert "| It fills. | abstract | held | It does. | MSE, head: 0.00151 (0.001 to 0.002) |" in text
    assert len(named_rows(REFERENCE)) == 3
    assert quotes(REFERENCE) == [("0.002", "U-Net 0.002"), ("0.97", "0.97"), ("", "fills")]


def test_a_column_without_a_figure_is_left_out() -> None:
    table = {"title": "Data", "rows": [{"name": "patients", "printed": "75", "quote": "75 patients"}]}
    assert "| | printed |\n|---|---|\n| patients | 75 |\n" in render_reference({"tables": [table], "claims": []}, ROWS)
    unknown = REFERENCE["tables"][0]["rows"][0] | {"printed": ""}
    text = render_reference({"tables": [{"title": "Data", "rows": [unknown]}], "claims": []}, ROWS)
    assert "| MSE | 0.00151 (0.001 to 0.002) | 0.001 | head |" in text


def test_a_row_that_there_is_not_and_a_verdict_of_another_name_are_refused() -> None:
    with pytest.raises(ValueError, match="head, whole, U-Net, MSE: no such row"):
        render_reference(REFERENCE, ROWS[1:])
    other = copy.deepcopy(REFERENCE)
    other["claims"][0]["verdict"] = "true"
    with pytest.raises(ValueError, match="true: is none of held"):
        render_reference(other, ROWS)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_document_holds_the_tables(bundle: Path) -> None:
    rows = json.loads((bundle / "docs" / "results.json").read_text(encoding="utf-8"))["rows"]
    begin, end = markers("reference")
    text = (bundle / "docs" / "reference.md").read_text(encoding="utf-8")
    assert text.split(begin, 1)[1].split(end, 1)[0].strip() == render_reference(read_reference(bundle), rows)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_printed_number_stands_in_its_quote(bundle: Path) -> None:
    for printed, quote in quotes(read_reference(bundle)):
        assert printed.rstrip("%") in quote


@pytest.mark.skipif(not PAPERS.is_dir(), reason="needs the papers' texts")
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_quotes_are_the_papers_words(bundle: Path) -> None:
    (paper,) = PAPERS.glob(f"*{bundle.name.replace('_', '-')}.txt")
    text = without_spaces(paper.read_text(encoding="utf-8"))
    for _, quote in quotes(read_reference(bundle)):
        assert without_spaces(quote) in text, quote


def without_spaces(text: str) -> str:
    return re.sub(r"\s+", "", text)
