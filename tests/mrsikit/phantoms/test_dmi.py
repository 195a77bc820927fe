import numpy as np
import pytest

from mrsikit.phantoms.dmi import FINER, LESION, SHOWN_BY, b0_map, b1_map, broadening_of, rings


@pytest.mark.parametrize(("dims", "lesion"), [(2, 1), (2, 2), (2, 4), (3, 2)])
def test_each_lesion_is_seen_by_what_it_should_be(dims: int, lesion: int) -> None:
    phantom = rings(dims=dims, lesion=lesion, mri_noise=0.0, rng=np.random.default_rng(0))
    size = phantom.mask.shape[0]
    coarse = phantom.mri.reshape([n for _ in range(dims) for n in (size, FINER)]).mean(tuple(range(1, 2 * dims, 2)))
    for letter, mask in phantom.lesions.items():
        assert mask.sum() == lesion**dims
        assert (phantom.compartments[mask] == 2).all()
        abnormal = np.allclose(phantom.amplitudes[mask], LESION)
        bright = np.allclose(coarse[mask], 1.0)
        assert (abnormal, bright) == (SHOWN_BY[letter] in ("DMI", "both"), SHOWN_BY[letter] in ("MRI", "both"))


def test_contrast_and_noise_are_as_asked() -> None:
    half = rings(contrast=0.5, rng=np.random.default_rng(0))
    np.testing.assert_allclose(half.amplitudes[half.lesions["B"]][:, 3], 2.0)
    again = rings(contrast=0.5, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(half.mri, again.mri)
    assert half.amplitudes[~half.mask].max() == 0


def test_interior_keeps_away_from_edges_and_lesions() -> None:
    phantom = rings(rng=np.random.default_rng(0))
    inside = phantom.interior(3)
    assert 20 < inside.sum() < (phantom.compartments == 3).sum()
    assert not phantom.interior(2)[phantom.lesions["A"]].any()


def test_fields_have_the_range_asked_for() -> None:
    b0 = b0_map((32, 32))
    assert np.abs(b0).max() == pytest.approx(20)
    assert broadening_of(b0).max() > 3
    b1 = b1_map((32, 32), weakest=0.4)
    assert b1.min() == pytest.approx(0.4)
    assert b1.max() == pytest.approx(1.0)
