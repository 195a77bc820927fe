import copy

import numpy as np
import torch

from mrs_vae_synthesis.checks import _bank_sessions, distinct, mean_rows
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.sampling import edits_of


def test_sessions_kept_over_and_over_count_once(network: SessionVae) -> None:
    few = copy.deepcopy(network)
    few.bank.copy_(network.bank[torch.arange(len(network.bank)) % 3])
    assert distinct(few).tolist() == [0, 1, 2]
    real, ((bank, _), (again, _)) = _bank_sessions(few, 7, edits_of(4, "both", True))
    assert [len(real), len(bank), len(again)] == [7, 3, 7]
    # copies are near one of the three, and the three are apart
    rows = mean_rows(bank, torch.zeros(3, bank.shape[1], dtype=torch.bool), few)
    assert np.linalg.norm(rows[0] - rows[1]) > 1
