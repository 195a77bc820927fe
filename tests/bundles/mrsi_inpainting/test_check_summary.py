"""What a check found, in the summary and in warnings."""

import numpy as np
import torch

from mrsi_inpainting.check_summary import MOST_SHOWN, check_records, check_warnings, summary_of

CHECK = {
    "checked on": 120,
    "correlation with the other maps": [0.8, 0.0],
    "all": {
        "voxels": 9,
        "n_eff": 40.3,
        "hidden voxels": [np.arange(1000.0), np.arange(1000.0) + 0.5, np.ones(1000)],
        "weights": {"kriging": 0.25, "network": 0.001, "matched residuals": 0.749},
        "error / variance": {"kriging": 0.2, "matched residuals": 0.11, "their weighted mean": 0.1},
    },
}


def test_the_summary_names_the_weights_and_both_errors() -> None:
    row = summary_of([CHECK, {}], "Cr, Cho")
    assert row["filled by"] == "75 % matched residuals, 25 % kriging (all of the other maps known)"
    assert row["other maps (correlation)"] == "Cr 0.80, Cho 0.00"
    assert row["hidden voxels"] == 120
    assert row["check: error / variance"] == 0.1
    assert row["check: kriging"] == 0.2


def test_no_check_and_voxels_unlike_it_are_said() -> None:
    missing = torch.ones(1, 4, 4, dtype=torch.bool)
    calibrated = missing.clone()
    assert check_warnings([CHECK], missing, calibrated) == []
    calibrated[0, 0] = False
    assert check_warnings([CHECK], missing, calibrated)[0].startswith("4 of 16 filled voxels")
    assert "not checked on this map (no voxel was hidden)" in check_warnings([{"checked on": 0}], missing, ~missing)[0]
    assert "only 12 known voxels" in check_warnings([{"checked on": 12}], missing, ~missing)[0]
    assert check_warnings([{}], ~missing, ~missing) == []


def test_the_record_keeps_what_the_report_draws() -> None:
    (record,) = check_records([CHECK], "Cr, Cho")
    assert record["title"].startswith("The check: 9 voxels filled where all of the other maps are known, 120 hidden")
    assert record["candidates"]["kriging"] == {"share": 0.25, "squared error / variance": 0.2}
    assert record["candidates"]["their weighted mean"]["share"] is None
    assert len(record["measured"]) == len(record["result"]) == len(record["sd"]) == MOST_SHOWN
    assert (record["measured"][0], record["measured"][-1]) == (0.0, 999.0)
    assert check_records([{}, CHECK], "")[0]["title"].startswith("The check: map 2, ")
    assert check_records([{"checked on": 3}], "") == []
