import numpy as np
import pytest
import torch

from dmi_quantification.estimates import Estimates, number_of_rows

NAMES = ("shift", "shift_sd", "phase", "broadening", "broadening_sd", "noise_sd", "explained")


@pytest.mark.parametrize("peaks", [1, 4])
def test_rows_have_their_names_in_order(peaks: int) -> None:
    rows = torch.arange(number_of_rows(peaks))[:, None].expand(-1, 5).float()
    estimates = Estimates.from_rows(rows, peaks)
    for part, name in enumerate(("amplitude", "amplitude_sd", "covariance_with_first")):
        assert getattr(estimates, name)[:, 0].tolist() == [part * peaks + k for k in range(peaks)]
    assert [getattr(estimates, name)[0].item() for name in NAMES] == [3 * peaks + k for k in range(7)]


def test_attributes_are_views_of_the_rows() -> None:
    tensor = torch.zeros(19, 3)
    estimates = Estimates.from_rows(tensor, 4)
    estimates.amplitude_sd[1, 2] = 5
    assert tensor[5, 2] == 5
    array = np.zeros((19, 3, 2), np.float32)
    assert all(np.shares_memory(values, array) for values in vars(Estimates.from_rows(array, 4)).values())
    assert Estimates.from_rows(array, 4).shift.shape == (3, 2)


def test_another_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="19 rows of estimates; 3 lines have 16"):
        Estimates.from_rows(torch.zeros(19, 2), 3)
