from pathlib import Path

import numpy as np
import pytest

from coarse_maps import flair_grid, grid, head
from mrsi_gan_super_resolution import predict
from mrsikit.io import InputError, read_map

MAP = head(grid(), (24, 24))


@pytest.mark.parametrize("stem", ["three", "plain", "volume"])
def test_call_gives_what_the_command_gives(folder: Path, finished: Path, stem: str) -> None:
    values, affine = read_map(folder / f"{stem}.nii.gz")
    given = {}
    if stem == "three":
        given["flair"], given["flair_affine"] = read_map(folder / "three_flair.nii.gz")
    result = predict(values, affine=affine, device="cpu", noise=0.1, **given)
    for name in ("sr", "uncertainty"):
        expected, fine = read_map(finished / f"{stem}_{name}.nii.gz")
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(result.affine, fine, atol=1e-4)
    assert (result.without_mri is not None) == (stem == "three")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": 2}, "method 2 needs an MRI"),
        ({"method": 3}, "method 3 needs an MRI"),
        ({"method": 5}, "method 5"),
        ({"dims": 4}, "dims 4"),
        ({"dims": 3}, "fewer than 8 slices"),
        ({"metod": 2}, "metod.*method"),
        ({"ratios": "HGG"}, "name the maps"),
    ],
)
def test_what_the_command_refuses_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        predict(MAP, **options)


def test_a_volume_is_sharpened_along_all_axes_where_it_is() -> None:
    affine = grid((6.9, 6.9, 6.9))
    values = head(affine, (24, 20, 8))
    flat, whole = (predict(values, affine=affine, noise=0.1, dims=dims) for dims in (2, 3))
    assert flat.sr.shape == (96, 80, 8)
    assert whole.sr.shape == whole.uncertainty.shape == (96, 80, 32)
    for corner in ([-0.5] * 3, [23.5, 19.5, 7.5]):
        fine = [4 * c + 1.5 for c in corner]
        np.testing.assert_allclose(whole.affine @ [*fine, 1], affine @ [*corner, 1], atol=1e-4)
    assert any("--dims 3" in flag for flag in flat.flags)
    assert not any("--dims 3" in flag for flag in whole.flags)


def test_ratios_of_gliomas_have_their_names() -> None:
    three = np.stack([head(grid(), (24, 24, 1), level=level) for level in (1.0, 3.0, 8.0)], -1)
    result = predict(three, noise=0.01, ratios="HGG", metabolites="2HG,Gln,Glu")
    assert result.ratio is not None
    inside = head(grid(), (24, 24), level=1).repeat(4, 0).repeat(4, 1) > 0.9
    assert np.nanmedian(result.ratio[inside]) == pytest.approx(0.5, rel=0.05)


def test_method_2_keeps_out_what_only_the_flair_shows() -> None:
    shown = head(flair_grid(), (160, 160, 12), level=1, lesion=0.8)
    plain = head(flair_grid(), (160, 160, 12), level=1)
    fine = {}
    for name, flair in (("shown", shown), ("plain", plain)):
        given = {"affine": grid(), "flair": flair, "flair_affine": flair_grid(), "noise": 0.01}
        fine[name] = predict(MAP, method=2, **given).sr
    lesion = head(grid(), (24, 24), level=1, lesion=1) > 1.5
    change = (fine["shown"] - fine["plain"])[lesion.repeat(4, 0).repeat(4, 1)]
    assert abs(float(change.mean())) < 0.02 * 0.8 * MAP.max()
