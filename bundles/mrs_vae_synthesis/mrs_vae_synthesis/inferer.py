"""Inferer of the bundle: turn the output of the preprocessing into synthetic sessions."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from mrs_vae_synthesis.matched_filter import as_complex, as_real
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.preprocessing import PLAN
from mrs_vae_synthesis.sampling import Draws, clean_fids, more_of, random_sessions, with_noise
from mrsikit.runtime import as_flag


class SynthesisInferer(Inferer):
    """Synthesise each session of a batch.

    Args:
        sampling: one of :data:`mrs_vae_synthesis.options.SAMPLINGS`.
        noise: whether to add noise as measured spectra have it.
    """

    def __init__(self, *, sampling: str = "random", noise: bool | str = True) -> None:
        super().__init__()
        self.sampling = sampling
        self.noise = as_flag(noise, "noise")

    def __call__(self, inputs: Tensor, network: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Synthesise a batch of sessions.

        Args:
            inputs: (B, R, W + 4 + 2 T) of :class:`mrs_vae_synthesis.preprocessing.PreprocessSessiond`.
            network: trained network with its bank.
            args: not used.
            kwargs: not used.

        Returns:
            (B, R, 2 T + 2): real and imaginary parts of the new FIDs, whether a row holds one, and whether it is ON.
        """
        return torch.stack([self._session(torch.as_tensor(item), network) for item in inputs])

    def _session(self, item: Tensor, network: SessionVae) -> Tensor:
        width = network.deviates
        deviates, plan, measured = item.split([width, PLAN, 2 * network.points], -1)
        wanted, there = plan[:, 0] > 0.5, plan[:, 2] > 0.5
        on = plan[wanted, 1] > 0.5
        draws = Draws.of(deviates[wanted][None], network)
        if self.sampling == "random":
            drawn = random_sessions(network, on, draws)
        else:
            drawn = more_of(network, as_complex(measured[there]), plan[there, 3] > 0.5, self.sampling, on, draws)
        fids = clean_fids(network, drawn)
        if self.noise:
            fids = with_noise(fids, drawn, draws)
        out = item.new_zeros(len(item), 2 * network.points + 2)
        out[wanted, :-2] = as_real(fids[0]).to(out)
        out[wanted, -2], out[wanted, -1] = 1, drawn.on[0].to(out)
        return out
