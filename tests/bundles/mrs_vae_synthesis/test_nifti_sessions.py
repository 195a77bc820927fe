from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.nifti_sessions import (
    EDITED,
    by_edit,
    edit_order,
    laid_out,
    measured_sessions,
    read_session,
    referenced,
    rereferenced,
    resampled,
)
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import InputError, write_fids
from mrsikit.physics.spectra import noise_sd

from .conftest import SMALL, as_fids, numbered, spoilt


def test_on_alone_is_read_as_on(unseen: Sessions, tmp_path: Path) -> None:
    write_fids(tmp_path / "on.nii.gz", spoilt(unseen, "on alone"))  # type: ignore[arg-type]
    assert read_session(tmp_path / "on.nii.gz").on.all()


def test_sessions_of_several_bandwidths_are_resampled_to_the_narrowest(unseen: Sessions, tmp_path: Path) -> None:
    finer = simulated_sessions(1, seed=99, transients=16, points=5120, dwell=0.0002)
    other = as_fids(finer, 0, reference=finer.reference + 0.1)
    write_fids(tmp_path / "a.nii.gz", other)
    write_fids(tmp_path / "b.nii.gz", as_fids(unseen, 1))
    found = measured_sessions([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
    assert found.dwell == pytest.approx(unseen.dwell)
    assert found.fids.shape == (2, 16, 2048)
    assert found.reference == other.reference
    assert finer.clean is not None
    known = torch.fft.fft(finer.clean[0, 0], norm="forward")
    again = torch.fft.fft(resampled(finer.clean[0, 0], finer.dwell, unseen.dwell), norm="forward")
    points = torch.arange(-600, 600)  # of 1.024 s, both
    torch.testing.assert_close(again[points], known[points], rtol=0, atol=5e-3 * float(known.abs().max()))
    # near ratios too, and what rings does not pass for noise
    near = finer.dwell * 500 / 499

    def tallest(fid: torch.Tensor, dwell: float) -> float:
        return float(torch.fft.fftfreq(2**17, dwell)[torch.fft.fft(fid, n=2**17).abs().argmax()])

    assert tallest(resampled(finer.fids[0, 0], finer.dwell, near), near) == pytest.approx(
        tallest(finer.fids[0, 0], finer.dwell), abs=0.1
    )
    shown = noise_sd(resampled(finer.fids[0], finer.dwell, unseen.dwell)) / noise_sd(finer.fids[0])
    torch.testing.assert_close(shown, torch.full((16,), 0.4**0.5).to(shown), rtol=0.1, atol=0)
    silent = as_fids(unseen, 0, extension={k: v for k, v in other.extension.items() if k != "EchoTime"}, echo=None)
    write_fids(tmp_path / "0.nii.gz", silent)
    longer = {**other.extension, "EchoTime": 0.08}
    write_fids(tmp_path / "c.nii.gz", as_fids(unseen, 2, extension=longer, echo=0.08))
    with pytest.raises(InputError, match="one protocol"):
        measured_sessions([tmp_path / f"{name}.nii.gz" for name in "0ac"])


def numbers(rows: torch.Tensor) -> list[int]:
    """Of :func:`numbered`, a transient each of (N, T)."""
    assert (rows == rows[:, :1]).all()
    return rows[:, 0].real.int().tolist()


@pytest.mark.parametrize("edits_first", [False, True])
@pytest.mark.parametrize("edits", [("ON", "OFF"), ("OFF", "ON"), ("on", "off")])
def test_each_transient_is_of_the_edit_that_the_header_names(edits: tuple[str, ...], edits_first: bool) -> None:
    values, on = laid_out(numbered(edits, edits_first=edits_first), "a")
    expected = [11, 12, 21, 22, 31, 32] if edits[0].upper() == "ON" else [12, 11, 22, 21, 32, 31]
    assert numbers(values) == expected
    assert on.tolist() == [number % 10 == 1 for number in expected]


def test_the_order_of_edits_is_the_headers() -> None:
    assert edit_order(numbered(("ON", "OFF")), "a") == [True, False]
    assert edit_order(numbered(("OFF", "ON")), "a") == [False, True]
    alone = numbered(("OFF",))
    assert edit_order(alone, "a", alone=True) == [False]
    assert edit_order(numbered(("ON",)), "a", alone=True) == [True]
    silent = replace(alone, extension={k: v for k, v in alone.extension.items() if "header" not in k})
    other = replace(alone, extension={**alone.extension, "dim_6_header": {"EditCondition": ["A", "B"]}})
    for wrong in (alone, silent, other):
        with pytest.raises(InputError, match="which edit is ON"):
            edit_order(wrong, "a")


@pytest.mark.parametrize("names", [["ON", "OFF", "OFF"], ["ON", "OFF", "ON", "OFF"]])
def test_names_that_do_not_fit_the_edits_are_an_error(names: list[str]) -> None:
    fids = numbered(("ON", "OFF"))
    wrong = replace(fids, extension={**fids.extension, "dim_6_header": {"EditCondition": names}})
    with pytest.raises(InputError, match=f"a: names {len(names)} edits but holds 2; give one name for each"):
        laid_out(wrong, "a")


def test_the_advice_names_the_axis_of_the_edits_and_can_be_followed() -> None:
    first = numbered(edits_first=True)
    silent = replace(first, extension={k: v for k, v in first.extension.items() if "header" not in k})
    with pytest.raises(InputError, match="a: does not say which edit is ON; set dim_5_header to"):
        laid_out(silent, "a")
    followed = replace(silent, extension={**silent.extension, "dim_5_header": {"EditCondition": ["ON", "OFF"]}})
    assert laid_out(followed, "a")[1].tolist() == [True, False] * 3


def test_four_edits_are_named_as_such() -> None:
    values = np.concatenate([numbered().values] * 2, -1)
    for names in (["A", "B", "C", "D"], None):
        header = {"dim_6_header": {"EditCondition": names}} if names else {}
        plain = {k: v for k, v in numbered().extension.items() if k != "dim_6_header"}
        with pytest.raises(InputError, match="a: has 4 edits.*as HERMES has; keep one ON and one OFF"):
            laid_out(replace(numbered(), values=values, extension={**plain, **header}), "a")


def test_on_comes_before_off_as_the_header_of_what_is_made_says() -> None:
    values, on = laid_out(numbered(("OFF", "ON")), "a")
    both = by_edit(values, on)
    assert both.shape == (64, 3, 2)
    assert both[0].real.int().tolist() == [[11, 12], [21, 22], [31, 32]]
    assert EDITED["dim_6_header"] == {"EditCondition": ["ON", "OFF"]}
    # read again, ON is ON
    header = {"dim_5": "DIM_DYN", **EDITED}
    again, known = laid_out(replace(numbered(), values=both.numpy()[None, None, None], extension=header), "a")
    assert numbers(again[known]) == [11, 21, 31]
    assert numbers(again[~known]) == [12, 22, 32]


def test_of_unlike_numbers_as_many_are_kept_as_there_are_of_the_rarer() -> None:
    values = torch.arange(5.0)[:, None].expand(5, 4)
    both = by_edit(values, torch.tensor([False, False, True, False, True]))
    assert both[0].tolist() == [[2, 0], [4, 1]]


def test_one_edit_or_none_needs_no_axis() -> None:
    plain = numbered(("ON",))
    values = plain.values[..., 0]
    for header, is_on in (({}, False), ({"EditCondition": ["ON"]}, True), ({"EditCondition": ["OFF"]}, False)):
        rows, on = laid_out(replace(plain, values=values, extension={"dim_5": "DIM_DYN", **header}), "a")
        assert numbers(rows) == [11, 21, 31]
        assert on.tolist() == [is_on] * 3
    rows, on = laid_out(replace(plain, values=values[..., 0], extension={}), "a")
    assert numbers(rows) == [11]
    assert on.tolist() == [False]


def test_more_than_one_voxel_or_other_axes_are_refused() -> None:
    fids = numbered()
    with pytest.raises(InputError, match="a: holds 2 voxels"):
        laid_out(replace(fids, values=fids.values.repeat(2, 0)), "a")
    with pytest.raises(InputError, match="DIM_COIL, DIM_EDIT.*coils combined"):
        laid_out(replace(fids, extension={**fids.extension, "dim_5": "DIM_COIL"}), "a")


def test_another_reference_shifts_every_line_by_the_difference() -> None:
    """A line at 3 ppm is at 3 ppm, whichever shift the file counts from."""
    at = torch.arange(64) * 0.0005
    line, moved = (torch.exp(2j * torch.pi * (reference - 3.0) * 127.73 * at)[None] for reference in (4.68, 4.3))
    fids = replace(numbered(), reference=4.3)
    torch.testing.assert_close(referenced(moved, fids, SMALL), line, atol=1e-4, rtol=0)
    assert referenced(moved, replace(fids, reference=None), SMALL) is moved
    assert rereferenced(moved, 0.0005, 0.0) is moved


def test_sessions_are_cut_to_what_all_of_them_have(tmp_path: Path) -> None:
    for name, count, points in (("a", 3, 64), ("b", 2, 48)):
        fids = numbered(transients=count)
        write_fids(tmp_path / f"{name}.nii.gz", replace(fids, values=fids.values[:, :, :, :points]))
    found = measured_sessions([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
    assert found.fids.shape == (2, 4, 48)
    assert numbers(found.fids[0]) == numbers(found.fids[1]) == [11, 12, 21, 22]
    assert found.on.tolist() == [[True, False, True, False]] * 2
    assert (found.dwell, found.larmor, found.reference, found.echo) == pytest.approx((0.0005, 127.73, 4.68, 0.068))
    write_fids(tmp_path / "c.nii.gz", replace(numbered(), larmor=297.2))
    with pytest.raises(InputError, match=r"c.nii.gz: is not of the acquisition of .*a.nii.gz"):
        measured_sessions([tmp_path / "a.nii.gz", tmp_path / "c.nii.gz"])
