import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.io.fitted_maps import FittedMaps


def maps(**rows: tuple[list[float], list[float] | None]) -> FittedMaps:
    def volumes(which: int) -> dict[str, np.ndarray]:
        return {row: np.array(pair[which], np.float32).reshape(-1, 1, 1) for row, pair in rows.items() if pair[which]}

    return FittedMaps(
        program="p", version="1", unit="mM", concentrations=volumes(0), bounds=volumes(1), quality={}, quality_units={},
        files=[],
    )  # fmt: skip


def test_rows_are_chosen_by_either_name_in_any_case() -> None:
    found = maps(**{"NAA+NAAG": ([1, 2], None), "-CrCH2": ([1, 2], None)})
    assert found.chosen(None) == ["NAA+NAAG", "-CrCH2"]
    assert found.chosen(["crch2", "NAA_NAAG", "naa+naag"]) == ["-CrCH2", "NAA+NAAG"]
    with pytest.raises(InputError, match=r"--metabolites Cr: is no row of these results; they have NAA\+NAAG, -CrCH2"):
        found.chosen(["NAA+NAAG", "Cr"])


def test_maps_of_no_use_are_told_from_others() -> None:
    nan = float("nan")
    found = maps(
        good=([1, 2, nan], [5, 200, nan]),
        unbounded=([1, 2, 3], None),
        empty=([nan, nan, nan], [nan, nan, nan]),
        flat=([2, 2, nan], [5, 5, 5]),
        poor=([1, 2, 3], [100, 300, nan]),
    )
    assert {row: found.why_left_out(row) for row in found.concentrations} == {
        "good": "",
        "unbounded": "",
        "empty": "was measured in no voxel",
        "flat": "has the same value in every voxel",
        "poor": "has no bound under 100 %",
    }
    assert found.shape == (3, 1, 1)
