from dataclasses import replace

import pytest
import torch

from mrs_vae_synthesis.edit_consistency import edit_problem
from mrs_vae_synthesis.nifti_sessions import ordered_edits
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sessions import Sessions


def one(unseen: Sessions, order: EditOrder, given: torch.Tensor) -> Sessions:
    """The first subject with its transients in an order, as if their edits were ``given``."""
    wanted = ordered_edits(16, order)
    rows = torch.empty_like(unseen.fids[0])
    rows[wanted], rows[~wanted] = unseen.fids[0][unseen.on[0]], unseen.fids[0][~unseen.on[0]]
    return replace(unseen, fids=rows[None], on=given[None], clean=None)


@pytest.mark.parametrize(("order", "words"), [("off_on_interleaved", "in turn"), ("off_on_blocks", "in blocks")])
def test_edits_that_nobody_names_are_noticed(unseen: Sessions, order: EditOrder, words: str) -> None:
    problem = edit_problem(one(unseen, order, torch.zeros(16, dtype=torch.bool)))
    assert problem is not None
    assert problem.startswith(f"has two edits {words}, not the ON and OFF")


@pytest.mark.parametrize("order", ["on_off_interleaved", "on_off_blocks"])
def test_a_wrong_order_is_noticed(unseen: Sessions, order: EditOrder) -> None:
    for given in ("on_off_interleaved", "off_on_interleaved", "on_off_blocks", "off_on_blocks"):
        problem = edit_problem(one(unseen, order, ordered_edits(16, given)))  # type: ignore[arg-type]
        assert (problem is None) == given.endswith(order.split("_")[2])


def test_sessions_of_one_edit_and_few_transients_have_no_problem(unseen: Sessions) -> None:
    for fids, on in zip(unseen.fids, unseen.on, strict=True):
        for edit in (True, False):
            rows = fids[on == edit]
            for labels in (torch.full((8,), edit), torch.zeros(8, dtype=torch.bool)):
                assert edit_problem(replace(unseen, fids=rows[None], on=labels[None], clean=None)) is None
        assert edit_problem(replace(unseen, fids=fids[None], on=on[None], clean=None)) is None
    few = replace(unseen, fids=unseen.fids[:1, :4], on=torch.zeros(1, 4, dtype=torch.bool), clean=None)
    assert edit_problem(few) is None


def test_a_cycle_of_four_is_noticed_and_noise_is_not(unseen: Sessions) -> None:
    fids, on = unseen.fids[0], unseen.on[0]
    rows = torch.stack([fids[on].unflatten(0, (4, 2)), fids[~on].unflatten(0, (4, 2))], 1).flatten(0, 2)
    wrong = replace(unseen, fids=rows[None], on=on[None], clean=None)
    assert "has two edits two by two" in str(edit_problem(wrong))
    assert edit_problem(replace(wrong, on=(torch.arange(16) % 4 < 2)[None])) is None
    noise = torch.randn(1, 16, 2048, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    for labels in (on, torch.zeros_like(on)):
        assert edit_problem(replace(unseen, fids=noise, on=labels[None], clean=None)) is None
