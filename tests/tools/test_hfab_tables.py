import json

import numpy as np
import pytest
import torch

from benchmark import REPOSITORY, Context
from benchmarks import hfab_tables, super_resolution
from mrsikit.super_resolution.blocks import GatedFeedForward


def test_every_variant_whose_weights_are_there_is_run_and_shown() -> None:
    networks = dict(hfab_tables.hfab_networks())
    shipped = {hfab_tables.hfab_name(rate=rate, gated=gated) for rate in ("printed", "high") for gated in (True, False)}
    assert shipped <= set(networks)
    for name, network in networks.items():
        assert any(isinstance(part, GatedFeedForward) for part in network.modules()) != ("without GDFN" in name)
    results = REPOSITORY / "bundles" / "mrsi_super_resolution" / "docs" / "results.json"
    assert shipped <= {row["method"] for row in json.loads(results.read_text(encoding="utf-8"))["rows"]}


def test_metrics_tests_and_figures_of_a_condition(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block means of smooth maps, and a method that returns the truth."""
    monkeypatch.setattr(hfab_tables, "hfab_maps", lambda coarse, flair: {"network": flair})
    x = torch.linspace(0, 1, 32)
    fine = torch.stack([torch.outer(x, x) ** k for k in (1, 2, 3, 4, 5)] * 2)
    context = Context(tmp_path, quick=True, seed=0, figures=tmp_path)
    given = (context, hfab_tables.COHORT, hfab_tables.RULES, fine, fine + 0.1)
    found, maps = hfab_tables._condition(*given, lambda coarse, flair: fine + 0.001, None)
    assert found["network"]["MSE"] == pytest.approx(np.full(10, 0.01), rel=1e-4)
    rows = {(row["method"], row["metric"]): row for row in context.rows}
    assert rows["network", "RMSE"]["mean"] == pytest.approx(0.1, rel=1e-3)
    assert rows["network", "RMSE"]["n"] == 2  # patients, of five maps each
    assert rows["spline", "MSE"]["mean"] < rows["nearest", "MSE"]["mean"]
    assert rows["network", "Mann-Whitney p of MSE against spline"]["mean"] < 0.05
    assert ("nearest", "Mann-Whitney p of MSE against spline") not in rows
    hfab_tables._draw_boxes(found, tmp_path / "boxes.png")
    hfab_tables._draw_errors(maps, fine, fine, tmp_path / "errors.png")
    assert (tmp_path / "boxes.png").exists()
    assert (tmp_path / "errors.png").exists()


def test_mse_and_rmse_stand_under_each_error_map(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(super_resolution.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    truth = torch.ones(8, 8)
    super_resolution.draw([{"truth": truth, "error, network": 0.1 * truth}], tmp_path / "errors.png")
    assert [axis.get_xlabel() for axis in drawn[0].axes] == ["", "MSE 0.0100, RMSE 0.1000"]
