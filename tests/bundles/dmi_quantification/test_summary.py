import numpy as np

from dmi_quantification.summary import summary_row

from .conftest import sound_file, sound_quality

NAMES = ("water_amplitude", "Glc", "Glx", "Lac")


def maps_of(values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}{ending}": factor * values for name in NAMES for ending, factor in (("", 1.0), ("_sd", 0.1))}


def test_row_holds_size_acquisition_and_medians_of_the_good_voxels() -> None:
    values = np.arange(4.0)[:, None] + 1.23456
    doubtful = np.array([[False], [False], [False], [True]])
    row = summary_row(sound_file(quality=sound_quality(4, doubtful=doubtful)), maps_of(values), grid=(2, 2, 1))
    assert row["matrix"] == "2x2x1"
    assert (row["voxels fitted"], row["time points"], row["share doubtful"]) == (4, 1, 0.25)
    assert (row["field (T)"], row["delay (ms)"], row["dwell time (ms)"]) == (11.74, 0.6, 0.4)
    assert (row["points fitted"], row["reference (ppm)"]) == (256, 4.7)
    assert (row["median water amplitude"], row["median Glc"]) == (2.235, 2.235)  # of 1.23456, 2.23456, 3.23456
    assert row["median Lac, SD of a voxel"] == 0.223
    assert (row["T2* of water (ms)"], row["T2* of Lac (ms)"]) == (30.0, 60.0)
    assert not any(column.startswith("SD of that T2*") for column in row)


def test_without_a_good_voxel_the_medians_are_of_all_that_were_measured() -> None:
    quality = sound_quality(2, doubtful=np.ones((2, 1), bool))
    row = summary_row(sound_file(quality=quality), maps_of(np.array([[1.0], [3.0]])), grid=(2, 1, 1))
    assert (row["share doubtful"], row["median Glx"]) == (1.0, 2.0)
    row = summary_row(sound_file(quality=sound_quality(0)), maps_of(np.zeros((0, 1))), grid=(2, 1, 1))
    assert (row["voxels fitted"], row["share doubtful"], row["median Glx"]) == (0, 0.0, 0.0)


def test_fitted_relaxation_times_have_standard_deviations() -> None:
    file = sound_file(t2_star_sd=(0.0, 0.001, 0.00234, 0.0))
    row = summary_row(file, maps_of(np.ones((100, 1))), grid=(10, 10, 1))
    assert (row["SD of that T2* of Glc (ms)"], row["SD of that T2* of Glx (ms)"]) == (1.0, 2.34)
    assert "SD of that T2* of water (ms)" not in row
