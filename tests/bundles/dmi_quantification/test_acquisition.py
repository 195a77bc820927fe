import numpy as np
import pytest

from dmi_quantification.acquisition import fid_model
from mrsikit.io import InputError
from mrsikit.io.nifti_mrs import metadata_of

from .conftest import METABOLITES, fids_of, simulated


def model_of(
    *, metabolites: tuple[str, ...] = METABOLITES, given_delay: float | None = None, **header: object
) -> object:
    meta = metadata_of(fids_of(simulated(np.ones((1, 1, 1, 4)), 10.0), **header))
    return fid_model(meta, 200, metabolites=metabolites, t2_star={"Glx": 0.05}, delay=given_delay)


def test_model_is_that_of_the_header_and_the_table() -> None:
    model = model_of()
    assert model.ppm == [4.7, 3.7, 2.4, 1.3]
    assert model.t2_star == [0.03, 0.03, 0.05, 0.06]  # of the table at 11.74 T, but for the given one
    assert (model.larmor, model.dwell, model.points, model.delay, model.reference) == (76.7, 4e-4, 200, 6e-4, 4.7)


def test_the_users_delay_stands_above_the_headers_and_an_unknown_one_is_0() -> None:
    assert model_of(given_delay=2e-3).delay == 2e-3
    assert model_of(given_delay=0.0).delay == 0
    assert model_of(delay=None).delay == 0


def test_the_headers_reference_stands_above_the_nucleuss() -> None:
    assert model_of(reference=4.65).reference == 4.65


def test_unknown_nucleus_and_metabolite_are_refused() -> None:
    with pytest.raises(InputError, match="nucleus 1H has no metabolites here; give 2H data"):
        model_of(nucleus="1H")
    with pytest.raises(InputError, match="GABA: not in the table of 2H: water"):
        model_of(metabolites=("water", "GABA"))
