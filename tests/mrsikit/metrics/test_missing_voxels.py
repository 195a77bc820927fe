import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler, from_engine

from mrsikit.metrics.missing_voxels import (
    MissingVoxelMSEMetric,
    filled_fraction,
    missing_voxel_detection,
    missing_voxel_mse,
    tumour_margin,
)


def three_cases() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hole MSE 4, none, 1; outside the holes the prediction is far off."""
    truth = torch.zeros(3, 1, 8, 8)
    holes = torch.zeros(3, 1, 8, 8)
    holes[0, 0, :2] = 1
    holes[2, 0, 3, 3] = 1
    pred = torch.full((3, 1, 8, 8), 100.0)
    pred[0][holes[0] == 1] = 2.0
    pred[2][holes[2] == 1] = -1.0
    return pred, truth, holes


def test_hole_mse_looks_only_at_the_holes():
    pred, truth, holes = three_cases()
    pred[0, 0, 7, 7] = torch.nan
    result = missing_voxel_mse(pred, truth, holes)
    assert result[[0, 2]].tolist() == [4.0, 1.0]
    assert result[1].isnan()
    with pytest.raises(ValueError, match="shapes"):
        missing_voxel_mse(pred, truth, holes[:, :, :4])


@pytest.mark.parametrize("as_list", [False, True])
def test_metric_averages_cases_that_have_holes(as_list):
    pred, truth, holes = three_cases()
    pred = torch.cat([pred, pred + 50, pred - 50], 1)  # filled map, standard deviation, probability
    label = torch.cat([truth, holes], 1)
    metric = MissingVoxelMSEMetric()
    for part in (slice(0, 1), slice(1, 3)):
        y_pred, y = (list(t[part]) if as_list else t[part] for t in (pred, label))
        metric(y_pred=y_pred, y=y)
    assert metric.aggregate().item() == 2.5
    metric.reset()
    metric(y_pred=pred[1:2], y=label[1:2])
    assert metric.aggregate().isnan()


def test_metric_pairs_the_channels_of_several_maps():
    pred, truth, holes = three_cases()
    both = torch.cat([pred, pred, pred, pred * 0 + 3, pred, pred], 1)  # the second map is off by 3 everywhere
    label = torch.cat([truth, holes, truth, torch.zeros_like(holes)], 1)
    metric = MissingVoxelMSEMetric()
    metric(both, label)
    assert metric.aggregate().item() == 2.5
    metric.reset()
    metric(both, torch.cat([truth, torch.zeros_like(holes), truth, torch.ones_like(holes)], 1))
    assert metric.aggregate().item() == 9.0


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_metric_refuses_channels_that_do_not_pair(channels):
    with pytest.raises(ValueError, match="channels"):
        MissingVoxelMSEMetric()(torch.zeros(1, 3, 8, 8), torch.zeros(1, channels, 8, 8))


def test_metric_works_in_an_engine():
    pred, truth, holes = three_cases()
    outputs = [{"pred": p, "label": torch.cat([t, h])} for p, t, h in zip(pred, truth, holes, strict=True)]
    engine = Engine(lambda _, batch: batch)
    handler = IgniteMetricHandler(MissingVoxelMSEMetric(), output_transform=from_engine(["pred", "label"]))
    handler.attach(engine, "mse")
    assert engine.run([outputs, outputs[:2]]).metrics["mse"] == pytest.approx(3.0)


def test_aggregate_needs_a_case():
    with pytest.raises(ValueError, match="no case"):
        MissingVoxelMSEMetric().aggregate()


def test_recall_and_precision():
    holes, found = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    holes[0, :4] = True
    found[0, 1:6] = True
    assert missing_voxel_detection(found, holes) == pytest.approx((0.75, 0.6))
    region = np.zeros((8, 8), bool)
    region[0, 3:6] = True
    assert missing_voxel_detection(found, holes, region) == pytest.approx((1.0, 1 / 3))


def test_nothing_to_find_or_nothing_found_is_nan():
    none, some = np.zeros((8, 8), bool), np.eye(8, dtype=bool)
    missed, invented = missing_voxel_detection(none, some), missing_voxel_detection(some, none)
    assert missed.recall == 0
    assert math.isnan(missed.precision)
    assert math.isnan(invented.recall)
    assert invented.precision == 0
    assert all(map(math.isnan, missing_voxel_detection(some, some, none)))
    with pytest.raises(ValueError, match="shapes"):
        missing_voxel_detection(none, some[:4])


def test_filled_fraction():
    region = np.zeros((8, 8), bool)
    region[:2] = True
    assert filled_fraction(np.indices((8, 8))[0] == 1, region) == 0.5
    assert math.isnan(filled_fraction(region, np.zeros_like(region)))


@pytest.mark.parametrize("dims", [2, 3])
def test_margin_lies_on_both_sides_of_the_edge(dims):
    first = np.indices((20,) * dims)[0]
    expected = (first >= 8) & (first < 12)
    np.testing.assert_array_equal(tumour_margin(first < 10, width=2), expected)
    assert tumour_margin(first < 10, width=1).sum() == expected.sum() / 2


def test_no_tumour_or_only_tumour_has_no_margin():
    assert not tumour_margin(np.zeros((8, 8), bool)).any()
    assert not tumour_margin(np.ones((8, 8), bool)).any()
