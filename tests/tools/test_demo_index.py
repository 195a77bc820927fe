import re
from pathlib import Path

from demo_index import write_index


def test_the_index_links_every_report_and_picture_of_what_is_done(tmp_path: Path) -> None:
    files = ("first/results/report.html", "first/comparison.png", "second/method 1/report.html", "third/comparison.png")
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    page = write_index(tmp_path, {"second": 12.4, "first": 3.6}).read_text(encoding="utf-8")
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == [
        "second/method%201/report.html",
        "first/results/report.html",
        "first/comparison.png",
    ]
    assert re.findall(r"\d+ s\b", page) == ["12 s", "4 s"]
    assert page.count("<img") == len(re.findall('alt="first: comparison"', page)) == 1
