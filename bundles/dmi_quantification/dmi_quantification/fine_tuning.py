"""The paper's way to use an MRI: the last layers of its network are trained on the data set, towards smooth maps."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from torch import Tensor
from tqdm import tqdm

from dmi_quantification.cnn import CnnEstimator
from dmi_quantification.prior import neighbours


def fine_tuned(
    network: CnnEstimator,
    features: Tensor,
    pairs: Tensor,
    weights: Tensor,
    *,
    strength: float,
    steps: int = 300,
    batch: int = 64,
    learning_rate: float = 1e-3,
    generator: torch.Generator,
) -> Tensor:
    r"""Amplitudes (V, K) after the fully connected layers were trained on the data set, Eq. 4 of the PRECISE-DMI paper.

    .. math:: \sum_v |C_2(Y_v) - C(Y_v)|^2 + \lambda \sum_{u \in \Omega_v} \omega_{vu} |C_2(Y_v) - C_2(Y_u)|^2

    The paper forms a batch of each voxel and its 3 x 3 (x 3) neighbours; here a step takes many voxels, each with its
    neighbours, and the sums over a neighbourhood are means, as they are in a batch.

    Args:
        network: trained on single voxels; not changed.
        features: what its convolutions make of the FIDs, (V, F).
        pairs: (P, 2) numbers of voxels that touch, each pair once.
        weights: (P,) Eq. 5.
        strength: lambda.
        steps: of Adam.
        batch: pairs a step, in thousands of the paper's 3 x 3 batches it is one.
        learning_rate: of Adam.
        generator: of the order of pairs.
    """
    layers = copy.deepcopy(network.cnn.connected)
    with torch.no_grad():
        before = layers(features)
    optimiser = torch.optim.Adam(layers.parameters(), learning_rate)
    size = max(batch * 16, len(pairs) // 16)
    neighbourhood = 9.0 if len(pairs) < 6 * len(features) else 27.0
    for _ in range(steps):
        chosen = torch.randint(len(pairs), (min(size, len(pairs)),), generator=generator)
        first, second = pairs[chosen].T
        here, there = layers(features[first]), layers(features[second])
        faithful = ((here - before[first]) ** 2).sum(1) + ((there - before[second]) ** 2).sum(1)
        # every pair stands in both voxels' sums; a voxel has as many pairs as neighbours
        smooth = 2.0 * weights[chosen] * ((here - there) ** 2).sum(1)
        per_voxel = 2.0 * len(pairs) / len(features)
        loss = (faithful / per_voxel + strength / neighbourhood * smooth).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return layers(features)


class FineTuneFidsd(Transform):
    """Replace the paper's single-voxel amplitudes by fine-tuned ones, with the paper's estimate of SD and bias.

    Three steps (Evaluation, in vivo experiments): the single-voxel result stands for the truth; FIDs are made from it
    and noise is added, ``repeats`` times; each is fine-tuned like the data. Without an MRI nothing changes.

    Args:
        weights: of :class:`dmi_quantification.cnn.PaperCnn`.
        peaks: number K of lines.
        strength: lambda; the paper uses .004, .01 and .04.
        largest: greatest weight of Eq. 5, which the paper does not print.
        repeats: of the Monte Carlo.
        seed: of its noise and of the training.

    Output:
        "pred" with the amplitudes and standard deviations; "bias" (K, V), of the mean over the repetitions.
    """

    def __init__(
        self,
        *,
        weights: str | Path,
        peaks: int = 4,
        strength: float = 0.01,
        largest: float = 60.0,
        repeats: int = 10,
        seed: int = 0,
    ) -> None:
        self.weights = weights
        self.peaks = peaks
        self.strength = strength
        self.largest = largest
        self.repeats = repeats
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Fine-tune on one file."""
        out = dict(data)
        if "mri" not in out or self.strength == 0:
            return out
        network = CnnEstimator(peaks=self.peaks)
        state = torch.load(self.weights, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v.float() for k, v in state.items()})
        network.eval()
        rows = torch.as_tensor(out["image"]).as_subclass(Tensor).cpu()
        voxels = torch.as_tensor(out["voxels"]).as_subclass(Tensor).cpu().numpy().astype(bool)
        mri = torch.as_tensor(out["mri"]).as_subclass(Tensor).cpu().double().numpy().reshape(voxels.shape)
        pairs, change = neighbours(mri, voxels)
        with np.errstate(divide="ignore"):
            weights = torch.from_numpy(np.minimum(1.0 / change**2, self.largest)).float()
        where = torch.from_numpy(pairs)
        generator = torch.Generator().manual_seed(self.seed)
        estimates = torch.as_tensor(out["pred"]).as_subclass(Tensor).cpu().clone()
        dynamics = int(out["dynamics"])
        bias = torch.zeros(self.peaks, estimates.shape[1])
        head = rows[:, : 1 + self.peaks]
        for d in range(dynamics):
            fids = rows[:, 1 + self.peaks + d :: dynamics]
            single = estimates[: self.peaks, d::dynamics].T.clone()
            tuned = self._tune(network, torch.cat([head, fids], 1), where, weights, generator)
            noise = self._noise(fids)
            lines = torch.complex(head[0, 1:], head[1, 1:])
            clean = torch.view_as_real(single.to(lines.dtype) @ lines).movedim(-1, 0)
            draws = []
            for _ in tqdm(range(self.repeats), desc="fine-tuning", leave=False, delay=2):
                noisy = clean + noise[None, :, None] * torch.randn(clean.shape, generator=generator)
                draws.append(self._tune(network, torch.cat([head, noisy], 1), where, weights, generator))
            repeated = torch.stack(draws)
            estimates[: self.peaks, d::dynamics] = tuned.T
            estimates[self.peaks : 2 * self.peaks, d::dynamics] = repeated.std(0).T
            bias[:, d::dynamics] = (repeated.mean(0) - single).T
        out["pred"], out["bias"] = estimates, bias
        return out

    @staticmethod
    def _noise(fids: Tensor) -> Tensor:
        tail = fids[:, :, -max(8, fids.shape[-1] // 4) :]
        return tail.std((0, 2))

    def _tune(
        self, network: CnnEstimator, rows: Tensor, pairs: Tensor, weights: Tensor, generator: torch.Generator
    ) -> Tensor:
        with torch.no_grad():
            features, scale = network.features(rows[None])
        tuned = fine_tuned(
            network, features[0], pairs, weights, strength=self.strength, generator=generator
        )  # in units of the network's largest amplitude
        return tuned * network.cnn.largest * scale[0, 0, 0]
