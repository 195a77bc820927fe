"""The measure of Pham 2025 on maps that are made here."""

from pathlib import Path

import numpy as np
import pytest

from benchmark import Context
from benchmarks import pham_measure
from benchmarks.pham_measure import COUNTS, MISSING_MSE, MSE, REMOVED, SSIM, Spoilt


def ball(side: int = 32) -> np.ndarray:
    centred = np.stack(np.indices((side,) * 3)) - (side - 1) / 2
    return ((centred**2).sum(0) < (0.4 * side) ** 2).astype(np.float32)


def spoilt(count: str) -> Spoilt:
    return pham_measure.spoilt_volumes([ball()], 0.15, count, np.random.default_rng(0))[0]


def test_counted_once_what_is_asked_for_is_removed_and_as_printed_less() -> None:
    shares = {count: spoilt(count).missing.sum() / ball().sum() for count in COUNTS}
    assert shares["unique"] == pytest.approx(0.15, abs=1e-3)
    assert 0.05 < shares["writes"] < 0.13


def test_slices_are_cut_from_the_spoilt_volume_where_there_is_brain() -> None:
    case = spoilt("unique")
    cuts = pham_measure.slices_of(case)
    assert len(cuts) == pham_measure.SLICES
    for cut in cuts:
        assert (cut.clean > 0).mean() > 0.05
        assert not cut.values[cut.missing].any()
    removed = [cut.missing.sum() / cut.clean.sum() for cut in cuts]
    assert max(removed) > min(removed)


def test_rows_hold_error_similarity_and_the_share_removed(tmp_path: Path) -> None:
    context = Context(tmp_path, True, 0, tmp_path)
    cuts = pham_measure.slices_of(spoilt("unique"))
    pham_measure.record(context, "ball", "spoilt", cuts, pham_measure.peers(cuts))
    share = np.mean([100 * cut.missing.sum() / cut.clean.sum() for cut in cuts])
    assert context.value("ball", "spoilt", "Algorithm 1", REMOVED) == pytest.approx(share, rel=1e-3)
    for metric in (MSE, SSIM, MISSING_MSE):
        assert np.isfinite(context.value("ball", "spoilt", "U-Net, progressive", metric))
    assert context.value("ball", "spoilt", pham_measure.NOTHING, MISSING_MSE) == 1
    assert context.value("ball", "spoilt", "linear, mask given", MSE) < 0.01


def test_failed_voxels_of_a_measured_map_are_no_data() -> None:
    """Half of the plane failed by itself: interpolation with the mask knows it, and its error does not count."""
    clean = np.zeros((32, 32), np.float32)
    clean[:, :16] = 1
    missing = np.zeros(clean.shape, bool)
    missing[10:13, 13:16] = True
    case = Spoilt(clean, missing, clean > 0)
    assert case.brain is not None
    np.testing.assert_allclose(pham_measure.peers([case])["linear, mask given"][0][missing], 1)


def test_the_figure_shows_three_planes_of_input_predictions_and_truth(tmp_path: Path) -> None:
    case = spoilt("writes")
    pham_measure.draw_planes(
        case, {pham_measure.FREE: [case.clean], "U-Net, direct": [case.values]}, tmp_path / "p.png"
    )
    assert (tmp_path / "p.png").stat().st_size > 5000
