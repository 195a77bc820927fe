from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis.measured_session import acquisition_problems, measured_session, session_problems
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import ordered_edits
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Acquisition, Sessions
from mrsikit.io import Fids, write_fids

from .conftest import SMALL, as_fids, numbered, small_network, spoilt


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nucleus", "of nucleus 31P"),
        ("field", "is of 7 T (297.2 MHz), the network of 3 T (127.7 MHz)"),
        ("bandwidth", "bandwidth of 1250 Hz"),
        ("echo", "echo time of 80 ms"),
        ("points", "512 points"),
        ("tags", "which edit is ON"),
        ("unedited", "names no transient ON, and the network was trained on ON and OFF"),
        ("single", "holds 2 transients"),
        ("nan", "NaN or infinity"),
        ("zero", "zero throughout"),
        ("elsewhere", "they fit with 4.7 ppm at zero frequency"),
        ("swapped", "its ON looks like OFF"),
        ("on alone", "names no transient OFF"),
    ],
)
def test_what_is_no_such_session_is_refused(
    unseen: Sessions, network: SessionVae, tmp_path: Path, kind: str, words: str
) -> None:
    known = Acquisition(dwell=0.0005, larmor=127.73, reference=4.68, echo=0.068, points=2048, edited=True, water=True)
    path = tmp_path / "bad.nii.gz"
    write_fids(path, spoilt(unseen, kind))  # type: ignore[arg-type]
    assert words in " ".join(session_problems(path, known, network.templates))


def test_a_sound_session_has_no_problem(unseen: Sessions, network: SessionVae, tmp_path: Path) -> None:
    known = Acquisition.of(network.acquisition)
    write_fids(tmp_path / "good.nii.gz", as_fids(unseen, 0))
    assert session_problems(tmp_path / "good.nii.gz", known, network.templates) == []
    assert "cannot be read" in session_problems(tmp_path / "absent.nii.gz", known, network.templates)[0]


def test_problems_of_the_acquisition_are_all_named_at_once() -> None:
    fids = replace(numbered(), larmor=297.2, dwell=0.001, echo=0.03)
    problems = acquisition_problems(fids, SMALL, small_network().templates, "a")
    assert len(problems) == 2
    assert all(
        problem.startswith("a: ") and problem.endswith("train a network on files like it") for problem in problems
    )


def on_one_axis(session: Sessions, order: EditOrder, header: dict | None = None) -> Fids:
    """A session with ON and OFF along DIM_DYN, in an order that its header does not say."""
    fids, on = session.fids[0], session.on[0]
    rows = torch.empty_like(fids)
    wanted = ordered_edits(len(on), order)
    rows[wanted], rows[~wanted] = fids[on], fids[~on]
    return as_fids(session, 0, values=rows.T[None, None, None].numpy(), extension=header or {"dim_5": "DIM_DYN"})


@pytest.mark.parametrize("order", ["on_off_interleaved", "off_on_interleaved", "on_off_blocks", "off_on_blocks"])
def test_a_wrong_order_is_refused_and_the_right_one_named(
    unseen: Sessions, network: SessionVae, order: EditOrder
) -> None:
    known, fids = Acquisition.of(network.acquisition), on_one_axis(unseen, order)

    def problem(given: EditOrder) -> str:
        return " ".join(acquisition_problems(fids, known, network.templates, "a", edit_order=given))

    assert problem(order) == ""
    assert "names no transient ON, and the network was trained on ON and OFF" in problem("header")
    assert problem("header").endswith(f"or set --edit_order {order}, as which they look")
    for other in ("on_off_interleaved", "off_on_interleaved", "on_off_blocks", "off_on_blocks"):
        if other == order:
            continue
        if other.split("_")[2] == order.split("_")[2]:
            assert "its ON looks like OFF" in problem(other)  # type: ignore[arg-type]
        else:
            assert "50% of its transients look like the other edit" in problem(other)  # type: ignore[arg-type]
            assert problem(other).endswith(f"set --edit_order {order}, as which they look")  # type: ignore[arg-type]


def test_a_cycle_of_four_is_no_order_that_an_option_knows(unseen: Sessions, network: SessionVae) -> None:
    known = Acquisition.of(network.acquisition)
    fids, on = unseen.fids[0], unseen.on[0]
    rows = torch.stack([fids[on].unflatten(0, (4, 2)), fids[~on].unflatten(0, (4, 2))], 1).flatten(0, 2)
    four = as_fids(unseen, 0, values=rows.T[None, None, None].numpy(), extension={"dim_5": "DIM_DYN"})
    problems = acquisition_problems(four, known, network.templates, "a", edit_order="on_off_interleaved")
    assert "50% of its transients look like the other edit" in problems[0]
    assert "no order that it knows" in problems[0]
    named = {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": ["ON", "ON", "OFF", "OFF"] * 4}}
    assert acquisition_problems(replace(four, extension=named), known, network.templates, "a") == []


def test_a_mirrored_session_is_conjugated_and_says_so(unseen: Sessions, network: SessionVae) -> None:
    known, fids = Acquisition.of(network.acquisition), spoilt(unseen, "conjugated")
    found = measured_session(fids, known, network.templates, "a")
    assert found.sign.finding == "conjugate"
    assert "they were conjugated; --sign standard leaves them as they are" in " ".join(found.warnings)
    plain = measured_session(as_fids(unseen, 0), known, network.templates, "a")
    assert plain.warnings == ()
    torch.testing.assert_close(found.fids, plain.fids)
    assert acquisition_problems(fids, known, network.templates, "a") == []
    left = acquisition_problems(fids, known, network.templates, "a", sign="standard")
    assert "no lines where the network knows them" in left[0]
    given = measured_session(fids, known, network.templates, "a", sign="conjugate")
    assert given.warnings == ()
    torch.testing.assert_close(given.fids, plain.fids)


def test_what_was_done_to_the_fids_is_said(unseen: Sessions, network: SessionVae) -> None:
    known = Acquisition.of(network.acquisition)
    fids = as_fids(unseen, 0)
    siemens = measured_session(replace(fids, larmor=123.25), known, network.templates, "a", sign="standard")
    assert "is of 123.25 MHz, the network of 127.73 MHz" in siemens.warnings[0]
    assert "+3.6 %" in siemens.warnings[0]
    short = measured_session(
        replace(fids, values=fids.values[:, :, :, :1024]), known, network.templates, "a", sign="standard"
    )
    assert "50% of the network's: they were completed with zeros" in short.warnings[0]
    assert short.fids.shape == (16, 2048)
    names = ["ON", "OFF"] * 7 + ["ON"]
    odd = as_fids(
        unseen, 0, values=fids.values.reshape(1, 1, 1, 2048, 16)[..., :15],
        extension={"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": names}},
    )  # fmt: skip
    found = measured_session(odd, known, network.templates, "a")
    assert found.warnings == ("of its 15 transients 8 are ON: a reconstruction holds 7 pairs",)
    assert int(found.on.sum()) == 8


def test_each_edit_needs_its_transients(unseen: Sessions, network: SessionVae) -> None:
    known = Acquisition.of(network.acquisition)
    values = as_fids(unseen, 0).values.reshape(1, 1, 1, 2048, 16)[..., [0, 1, 2, 4, 6]]
    header = {"dim_5": "DIM_DYN", "dim_5_header": {"EditCondition": ["ON", "OFF", "ON", "ON", "ON"]}}
    few = as_fids(unseen, 0, values=values, extension=header)
    problems = acquisition_problems(few, known, network.templates, "a")
    assert problems == ["a: holds 4 transients ON and 1 OFF; give at least 2 of each"]
    assert acquisition_problems(few, known, network.templates, "a", fewest=1) == []
    single = spoilt(unseen, "single")
    assert acquisition_problems(single, known, network.templates, "a", fewest=1) == []


def test_an_edit_that_the_network_does_not_know_is_refused(unseen: Sessions, network: SessionVae) -> None:
    known = replace(Acquisition.of(network.acquisition), edited=False)
    templates = network.templates.clone()
    templates[1] = 0
    whole = as_fids(unseen, 0)
    assert acquisition_problems(whole, known, templates, "a") == [
        "a: holds transients ON, on which the network was not trained"
    ]
    off = as_fids(unseen, 0, values=whole.values[..., 1], extension={"dim_5": "DIM_DYN"})
    assert acquisition_problems(off, known, templates, "a") == []


def test_real_numbers_are_refused(unseen: Sessions, network: SessionVae) -> None:
    real = as_fids(unseen, 0, values=as_fids(unseen, 0).values.real.astype(np.complex64))
    problems = acquisition_problems(real, Acquisition.of(network.acquisition), network.templates, "a")
    assert problems == ["a: holds real data stored as complex, so every line has a mirror image; give both channels"]
