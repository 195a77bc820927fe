from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.conversion import resampled
from mrs_vae_synthesis.nifti_sessions import (
    EDITED,
    by_edit,
    edit_names,
    laid_out,
    measured_sessions,
    read_session,
)
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import Fids, InputError, write_fids
from mrsikit.physics.spectra import noise_sd

from .conftest import as_fids, numbered, spoilt


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
    assert unseen.clean is not None
    # the same subject, simulated at either bandwidth
    known, again = (torch.fft.fft(fid) for fid in (unseen.clean[0, 0], resampled(finer.clean[0, 0], 0.0002, 0.0005)))
    points = torch.arange(-950, 950)  # but for the edges of the narrower width
    torch.testing.assert_close(again[points], known[points], rtol=0, atol=2e-3 * float(known.abs().max()))
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
    assert edit_names(numbered(("ON", "OFF")), "a") == [True, False]
    assert edit_names(numbered(("OFF", "ON")), "a") == [False, True]
    alone = numbered(("OFF",))
    assert edit_names(alone, "a", alone=True) == [False]
    assert edit_names(numbered(("ON",)), "a", alone=True) == [True]
    silent = replace(alone, extension={k: v for k, v in alone.extension.items() if "header" not in k})
    other = replace(alone, extension={**alone.extension, "dim_6_header": {"EditCondition": ["A", "B"]}})
    for wrong in (alone, silent, other):
        with pytest.raises(InputError, match="which edit is ON"):
            edit_names(wrong, "a")


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


def on_dynamics(edits: tuple[str, ...], extension: dict | None = None) -> Fids:
    """Transients along DIM_DYN alone: 11 and 12, then 21 and 22, in the order of ``edits``; ON are odd."""
    count = {"ON": 0, "OFF": 0}
    rows = []
    for edit in edits:
        count[edit] += 1
        rows.append(10 * count[edit] + (1 if edit == "ON" else 2))
    values = np.broadcast_to(np.array(rows, np.complex64), (1, 1, 1, 64, len(rows)))
    header = {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": list(edits)}} if extension is None else extension
    return replace(numbered(), values=values.copy(), extension=header)


ORDERS = {
    "on_off_interleaved": ("ON", "OFF", "ON", "OFF"), "off_on_interleaved": ("OFF", "ON", "OFF", "ON"),
    "on_off_blocks": ("ON", "ON", "OFF", "OFF"), "off_on_blocks": ("OFF", "OFF", "ON", "ON"),
}  # fmt: skip


@pytest.mark.parametrize(("order", "edits"), ORDERS.items())
def test_transients_on_one_axis_are_of_the_edits_that_header_or_user_name(
    order: EditOrder, edits: tuple[str, ...]
) -> None:
    silent = {"dim_5": "DIM_DYN"}
    nested = {**silent, "dim_5_header": {"EditCondition": {"Value": list(edits), "Description": "edits"}}}
    other_axis = {"dim_5": "DIM_USER_0", "dim_5_header": {"EditCondition": list(edits)}}
    for fids, given in (
        (on_dynamics(edits), "header"),
        (on_dynamics(edits), order),
        (on_dynamics(edits, nested), "header"),
        (on_dynamics(edits, other_axis), "header"),
        (on_dynamics(edits, silent), order),
    ):
        values, on = laid_out(fids, "a", given)  # type: ignore[arg-type]
        assert on.tolist() == [edit == "ON" for edit in edits]
        assert sorted(numbers(values[on])) == [11, 21]
        assert sorted(numbers(values[~on])) == [12, 22]


def test_a_cycle_of_four_and_unlike_numbers_are_read_from_the_header() -> None:
    for edits in (("ON", "ON", "OFF", "OFF", "ON", "ON", "OFF", "OFF"), ("ON", "OFF", "ON")):
        assert laid_out(on_dynamics(edits), "a")[1].tolist() == [edit == "ON" for edit in edits]


@pytest.mark.parametrize(
    ("fids", "order", "words"),
    [
        (on_dynamics(("ON", "OFF", "ON"), {"dim_5": "DIM_DYN"}), "on_off_interleaved", "cannot part"),
        (on_dynamics(("ON", "OFF")), "off_on_interleaved", "another order than --edit_order off_on_interleaved"),
        (numbered(), "on_off_blocks", "another order than --edit_order on_off_blocks"),
        (
            on_dynamics(("ON", "OFF"), {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": ["ON"]}}),
            "header",
            "names 1 edits .* but holds 2 transients",
        ),
        (
            on_dynamics(("ON", "OFF"), {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": ["A", "B"]}}),
            "header",
            "give ON or OFF for each in EditCondition of dim_5_header",
        ),
        (
            replace(
                numbered(),
                extension={**numbered().extension, "dim_5_header": {"EditCondition": ["ON", "OFF", "ON"]}},
            ),
            "header",
            "names edits in dim_5_header and dim_6_header",
        ),
        (
            replace(numbered(), extension={"dim_5": "DIM_DYN", "dim_6": "DIM_MEAS"}),
            "on_off_blocks",
            "holds 3 x 2 transients, which --edit_order on_off_blocks cannot part",
        ),
    ],
    ids=["odd", "contradicts", "contradicts an axis", "too few names", "other names", "two axes", "two unnamed axes"],
)
def test_edits_that_cannot_be_parted_are_an_error(fids: Fids, order: EditOrder, words: str) -> None:
    with pytest.raises(InputError, match=words):
        laid_out(fids, "a", order)


def test_blocks_and_pairs_are_cut_to_as_many_of_each_edit(tmp_path: Path) -> None:
    """The first transients of a file in blocks are all ON."""
    write_fids(tmp_path / "a.nii.gz", on_dynamics(("ON",) * 4 + ("OFF",) * 3))
    write_fids(tmp_path / "b.nii.gz", on_dynamics(("OFF", "ON", "OFF", "ON")))
    found = measured_sessions([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
    assert found.on.tolist() == [[True, True, False, False], [False, True, False, True]]
    assert numbers(found.fids[0]) == [11, 21, 12, 22]
    assert numbers(found.fids[1]) == [12, 11, 22, 21]


def test_sessions_of_two_scanners_have_the_chemical_shifts_of_each(tmp_path: Path) -> None:
    """NAA is at 2.01 ppm in a file of 123.25 MHz and in one of 127.73 MHz."""
    plain = numbered(transients=2)
    for name, larmor in (("a", 127.73), ("b", 123.25)):
        hz = (4.68 - 2.01) * larmor
        line = np.exp((2j * np.pi * hz - 15) * 0.0005 * np.arange(2048))[:, None, None]
        values = np.broadcast_to(line, (2048, 2, 2)).astype(np.complex64)[None, None, None]
        write_fids(tmp_path / f"{name}.nii.gz", replace(plain, values=values, larmor=larmor))
    found = measured_sessions([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
    size = torch.fft.fft(found.fids, n=2**15).abs()
    ppm = found.reference - torch.fft.fftfreq(2**15, found.dwell)[size.argmax(-1)] / found.larmor
    torch.testing.assert_close(ppm, torch.full_like(ppm, 2.01), atol=2e-3, rtol=0)


def test_conjugated_files_are_read_as_what_they_are_of(tmp_path: Path) -> None:
    fids = numbered()
    write_fids(tmp_path / "a.nii.gz", replace(fids, values=(1j * fids.values)))
    one, other = (read_session(tmp_path / "a.nii.gz", conjugate=flag).fids for flag in (False, True))
    torch.testing.assert_close(other, one.conj().resolve_conj())
