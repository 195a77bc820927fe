import base64

import numpy as np

from dmi_quantification.fid_view import MOST_SPECTRA, chosen_voxels, fid_view

from .conftest import METABOLITES, fids_of, simulated

COLUMNS = ["water_amplitude", *METABOLITES[1:]]


def view_of_slice(quality: np.ndarray) -> dict | None:
    shape = quality.shape
    fids = fids_of(simulated(np.tile([10.0, 2, 3, 1], (*shape, 1)), 30.0))
    rng = np.random.default_rng(0)
    maps = {name + ending: rng.random((*shape, 1)) for name in COLUMNS for ending in ("", "_sd")}
    return fid_view(
        fids, fids, maps.__getitem__, columns=COLUMNS, units=["signal units"] * 4, quality=quality, when=0,
        delay=0.0006, oriented=True,
    )  # fmt: skip


def test_every_fitted_voxel_of_a_small_file_has_its_spectrum_with_fit_and_residual() -> None:
    quality = np.ones((6, 5, 1))
    quality[0], quality[3, 2] = 0, 2
    view = view_of_slice(quality)
    assert view is not None
    assert view["stored"] == "Spectra of 25 of 25 fitted voxels are stored."
    titles = [one["title"] for one in view["spectra"]]
    assert "voxel (4, 3, 1), doubtful" in titles
    assert len(set(titles)) == 25
    one = view["spectra"][titles.index("voxel (2, 1, 1)")]
    assert {"measured", "fit", "residual"} < one.keys()
    points = len(np.frombuffer(base64.b64decode(one["measured"]["data"]), "<i2"))
    assert points == len(view["ppm"])
    assert len({tuple(one["at"]) for one in view["spectra"]}) == 25


def test_spectra_are_spread_and_half_of_them_doubtful_where_there_are_many() -> None:
    quality = np.ones((40, 40, 2))
    quality[:20, :, 0] = 2
    chosen = chosen_voxels(quality)
    assert len(set(chosen)) == MOST_SPECTRA
    assert sum(quality[voxel] == 2 for voxel in chosen) == MOST_SPECTRA // 2
    assert {voxel[2] for voxel in chosen} == {0, 1}
    assert chosen_voxels(np.zeros((3, 3, 1))) == []


def test_nothing_fitted_gives_nothing_to_touch() -> None:
    assert view_of_slice(np.zeros((6, 5, 1))) is None
