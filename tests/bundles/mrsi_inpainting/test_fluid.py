"""Zeros of all maps: those that signal encloses may be fluid, those that reach the outside may be a lost rim."""

import numpy as np
import pytest
import torch

from mrsi_inpainting.fluid import SURE, common_zeros
from mrsi_inpainting.postprocessing import PostprocessMapd
from mrsi_inpainting.preprocessing import PreprocessMapd

from .conftest import tensor

SHAPE = (28, 28)


def head() -> np.ndarray:
    places = np.indices(SHAPE) - 13.5
    return (places**2).sum(0) < 12**2


def block(first: int, last: int, row: int = 12) -> np.ndarray:
    out = np.zeros(SHAPE, bool)
    out[row : row + 4, first:last] = True
    return out


VENTRICLE, OTHER, RIM = block(12, 16), block(18, 21), block(2, 6)


def known(*zeros: np.ndarray) -> np.ndarray:
    return np.stack([head() & ~zero for zero in zeros])


def test_zeros_that_all_maps_share_within_the_signal_are_found() -> None:
    found = common_zeros(known(VENTRICLE | OTHER | RIM, VENTRICLE | RIM))
    np.testing.assert_array_equal(found, VENTRICLE)
    assert not common_zeros(known(VENTRICLE)).any()  # one map alone cannot tell
    assert not common_zeros(np.stack([head() & ~VENTRICLE, np.zeros(SHAPE, bool)])).any()


def test_zeros_of_the_outermost_voxels_are_not_enclosed() -> None:
    shallow = np.zeros(SHAPE, bool)
    shallow[13, np.flatnonzero(head()[13])[0] + 1] = True  # a voxel of signal lies between it and the outside
    assert not common_zeros(known(shallow, shallow))[13, :4].any()


@pytest.mark.parametrize("axis", [0, 2])
def test_slices_at_the_end_of_a_volume_hold_ventricles_too(axis: int) -> None:
    maps = known(VENTRICLE | RIM, VENTRICLE | RIM)
    volume = np.moveaxis(np.stack([maps] * 3, -1), -1, 1 + axis)
    found = np.moveaxis(common_zeros(volume, axis), axis, 0)
    np.testing.assert_array_equal(found, np.stack([VENTRICLE] * 3))


def judged(probability: float, *, others: bool = True, **companions: object) -> tuple[np.ndarray, str]:
    """Voxels filled where the network gives every zero of a map a probability, and the flags."""
    values = np.where(head() & ~VENTRICLE & ~OTHER & ~RIM, 9.0, 0.0) + 0.1 * np.indices(SHAPE)[0] * (
        head() & ~VENTRICLE & ~OTHER & ~RIM
    )
    item = {"image": tensor(values[None]), **companions}
    if others:
        item["others"] = torch.from_numpy(np.where(head() & ~VENTRICLE & ~RIM, 5.0, np.nan))[None]
    item = PreprocessMapd(check=False)(item)
    item["pred"] = torch.ones_like(item["image"].as_tensor())
    item["pred"][2] = probability
    out = PostprocessMapd(threshold=0.4, wrong_threshold=1.0)(item)
    return out["holes"].numpy()[0] > 0, "; ".join(out["flags"])


def test_a_zero_of_all_maps_is_filled_only_if_the_network_is_sure() -> None:
    holes, flags = judged(0.6)
    assert not holes[VENTRICLE].any()
    assert holes[OTHER].all()  # the other map has a value there
    assert holes[RIM & head()].all()  # reaches the outside, where a rim may be lost
    assert f"{VENTRICLE.sum()} zeros that all maps of the session share were left" in flags
    assert "_missing" in flags
    sure, flags = judged(SURE + 0.01)
    assert sure[VENTRICLE].all()
    assert "share" not in flags
    assert judged(0.6, others=False)[0][VENTRICLE].all()


def test_voxels_that_certainly_failed_are_filled_in_all_maps() -> None:
    holes, _ = judged(0.0, missing=tensor(VENTRICLE[None].astype(float)))
    np.testing.assert_array_equal(holes, VENTRICLE)


def test_a_map_of_the_fluid_decides_for_a_single_map() -> None:
    fluid = VENTRICLE[None] * 0.6
    fluid[0, 12, 18:21] = 0.4  # partly fluid: the network decides
    holes, flags = judged(0.99, others=False, csf=tensor(fluid))
    assert not holes[VENTRICLE].any()
    assert holes[OTHER].all()
    assert f"{VENTRICLE.sum()} voxels were left because at least half of each is fluid" in flags
    marked, _ = judged(0.99, others=False, csf=tensor(fluid), missing=tensor(VENTRICLE[None].astype(float)))
    assert marked[VENTRICLE].all()
    bounds = np.where(VENTRICLE | OTHER, 999.0, 5.0)[None]  # as LCModel says of a fit without signal
    bounded, _ = judged(0.99, others=False, csf=tensor(fluid), crlb=tensor(bounds))
    assert not bounded[VENTRICLE].any()
    assert bounded[OTHER].all()
