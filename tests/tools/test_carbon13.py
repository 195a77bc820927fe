from pathlib import Path

import numpy as np
import pytest
import scipy.io

from benchmarks.carbon13 import carbon13_maps

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PROSTATE, PRIMATE, TIMES = (8, 18), (10, 18), 5


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A disc in each organ, in files of the axes that the data's README states."""
    (tmp_path / "hp13c").mkdir()
    rise = np.arange(1.0, TIMES + 1)
    for patient in ("pc6071", "pc6088"):
        peaks = np.zeros((*PROSTATE, 1, 2, TIMES))
        peaks[2:6, 5:12] = rise
        stored = {"peaks": 3.0 + peaks, "mean_bias_peaks": 3.0, "std_noise_data": 0.1}
        scipy.io.savemat(tmp_path / "hp13c" / f"{patient}_extracted_data.mat", stored)
    brain = np.zeros(PRIMATE)
    brain[3:8, 6:12] = 1.0
    course = {"pyr": brain * rise[:, None, None], "lac": 2.0 + brain * rise[:, None, None]}
    scipy.io.savemat(tmp_path / "hp13c" / "primate_brain_csi_variableflip_dynamic.mat", course)
    return tmp_path


def test_every_map_is_of_space_and_summed_over_time(data: Path) -> None:
    maps = carbon13_maps(data)
    assert len(maps) == 6
    for name, (values, good) in maps.items():
        shape, place = (PRIMATE, np.s_[3:8, 6:12]) if "primate" in name else (PROSTATE, np.s_[2:6, 5:12])
        assert values.shape == good.shape == shape, name
        organ = np.zeros(shape, bool)
        organ[place] = True
        np.testing.assert_array_equal(good, organ, err_msg=name)
        floor = 2.0 * TIMES if name == "primate brain, lactate" else 0.0
        np.testing.assert_allclose(values, floor + 15.0 * organ, atol=1e-5, err_msg=name)


@pytest.mark.skipif(not (REAL / "hp13c").is_dir(), reason="the real data are not there")
def test_the_measured_brain_lies_inside_its_slice() -> None:
    """As an image of time against space, it reached the edges: it is bright at the bolus in every voxel."""
    for name, (values, good) in carbon13_maps(REAL).items():
        if "primate" in name:
            assert values.shape == (10, 18)
            assert 25 < good.sum() < 50
            assert not good[0].any()
            assert not good[:, [0, 1, 2, 3, -1, -2, -3, -4]].any()
            assert values[good].mean() > 1.4 * values[~good].mean()
