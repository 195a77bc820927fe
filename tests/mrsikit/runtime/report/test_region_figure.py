import csv
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from mrsikit.runtime.region_table import COLUMNS
from mrsikit.runtime.report.region_figure import draw_regions


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(metabolite: str, label: int, mean: object, imputed: object = "", case: str = "s1") -> dict[str, object]:
    return {"case": case, "metabolite": metabolite, "label": label, "mean": mean, "SD": 1, "share imputed": imputed}


def test_a_dot_for_each_region_and_case_open_where_much_was_imputed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dots = []
    monkeypatch.setattr(Axes, "errorbar", lambda axes, *place, **style: dots.append((*place, style["markerfacecolor"])))
    rows = [
        row("NAA", 1, 9, 0.5), row("NAA", 7, 8, 0.05), row("NAA", 7, 6, case="s2"), row("tCr", 9, ""),
        row("NAA", 1, 1.5) | {"ratio": "NAA/tCr"},
    ]  # fmt: skip
    png = draw_regions(write(tmp_path / "regions.csv", rows))
    assert [(round(x), y, face) for x, y, _, face in dots] == [
        (0, 9, "white"), (1, 8, "C0"), (1, 6, "C0"), (0, 1.5, "C0"),
    ]  # fmt: skip
    assert dots[1][0] < 1 < dots[2][0]  # two cases side by side
    picture = np.asarray(Image.open(io.BytesIO(png)))
    assert picture.shape[1] > 2 * picture.shape[0]  # two panels, for tCr has no region


def test_a_table_without_a_figure_draws_nothing(tmp_path: Path) -> None:
    assert draw_regions(write(tmp_path / "regions.csv", [])) == b""
    assert draw_regions(write(tmp_path / "regions.csv", [row("NAA", 1, "")])) == b""
    (tmp_path / "regions.csv").write_text("region,mean\nfrontal,9\n")  # of another program
    assert draw_regions(tmp_path / "regions.csv") == b""
