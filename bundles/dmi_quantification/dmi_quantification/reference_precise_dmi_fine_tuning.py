"""The paper's way to use an MRI: the last layers of its network are trained on the data set, towards smooth maps."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dmi_quantification.mri_prior import neighbours, solve
from dmi_quantification.reference_precise_dmi import PreciseDmiEstimator

LARGEST_WEIGHT = 60.0
"""Of Eq. 5, which the paper does not print: with it the paper's prior has its threefold gain at lambda .01."""


@dataclass(frozen=True, kw_only=True)
class PreciseDmiPrior:
    """The optimum of Eq. 4 of the PRECISE-DMI paper, as one linear system; its fine-tuned network comes less near.

    Attributes:
        strength: lambda of the paper.
        largest: greatest weight.
    """

    strength: float = 0.01
    largest: float = LARGEST_WEIGHT

    def __call__(
        self, maps: NDArray[np.float64], sd: NDArray[np.float64], mri: NDArray[np.float64], mask: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Smooth; arguments and result as of :meth:`RobustPrior.__call__`, the standard deviations are not used."""
        pairs, change = neighbours(mri, mask)
        weights = edge_weights(change, self.largest)
        # the paper's batches of 3^n voxels take the mean, and every pair is in two of them
        strength = 2 * self.strength / 3**mri.ndim
        out = maps.copy()
        out[mask] = solve(maps[mask], np.ones_like(maps[mask]), pairs, weights, strength)
        return out


def edge_weights(change: NDArray[np.float64], largest: float = LARGEST_WEIGHT) -> NDArray[np.float64]:
    """Weights (P,) of Eq. 5 of the PRECISE-DMI paper from the differences (P,) of the MRI."""
    with np.errstate(divide="ignore"):
        return np.minimum(1.0 / change**2, largest)


def fine_tuned(
    network: PreciseDmiEstimator,
    features: Tensor,
    pairs: Tensor,
    weights: Tensor,
    *,
    strength: float,
    steps: int = 300,
    fewest_pairs: int = 1024,
    learning_rate: float = 1e-3,
    generator: torch.Generator,
) -> Tensor:
    r"""Amplitudes (V, K), in units of the network's largest, after its last layers were trained on the data set.

    Eq. 4 of the PRECISE-DMI paper:

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
        fewest_pairs: a step, or a sixteenth of all if that is more.
        learning_rate: of Adam.
        generator: of the order of pairs.
    """
    layers = copy.deepcopy(network.cnn.connected)
    with torch.no_grad():
        before = layers(features)
    optimiser = torch.optim.Adam(layers.parameters(), learning_rate)
    size = min(max(fewest_pairs, len(pairs) // 16), len(pairs))
    # in a plane a voxel has 4 pairs at most, in space 13
    neighbourhood = 9.0 if len(pairs) < 6 * len(features) else 27.0
    # every pair stands in both voxels' sums; a voxel has as many pairs as neighbours
    per_voxel = 2.0 * len(pairs) / len(features)
    for _ in range(steps):
        chosen = torch.randint(len(pairs), (size,), generator=generator)
        # a voxel that stands in several pairs goes through the layers once
        voxels, places = torch.unique(pairs[chosen], return_inverse=True)
        now = layers(features[voxels])
        change = ((now - before[voxels]) ** 2).sum(1)
        here, there = now[places[:, 0]], now[places[:, 1]]
        faithful = change[places].sum(1)
        smooth = 2.0 * weights[chosen] * ((here - there) ** 2).sum(1)
        loss = (faithful / per_voxel + strength / neighbourhood * smooth).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return layers(features)


def fine_tuned_amplitudes(
    network: PreciseDmiEstimator, rows: Tensor, pairs: Tensor, weights: Tensor, **options: Any
) -> Tensor:
    """Amplitudes (V, K) in the unit of the FIDs.

    Args:
        network: trained on single voxels.
        rows: (2, 1 + K + V, T), the estimator's input.
        pairs: as of :func:`fine_tuned`.
        weights: likewise.
        options: likewise.
    """
    with torch.no_grad():
        features, scale = network.features(rows[None])
    return fine_tuned(network, features[0], pairs, weights, **options) * network.cnn.largest * scale[0, 0, 0]


class FineTuneFidsd(Transform):
    """Replace the paper's single-voxel amplitudes by fine-tuned ones, with the paper's estimate of SD and bias.

    Three steps (Evaluation, in vivo experiments): the single-voxel result stands for the truth; FIDs are made from it
    and noise is added, ``repeats`` times; each is fine-tuned like the data. Without an MRI nothing changes.

    Args:
        weights: of :class:`dmi_quantification.reference_precise_dmi.PreciseDmiCnn`.
        peaks: number K of lines.
        strength: lambda; the paper uses .004, .01 and .04.
        largest: greatest weight of Eq. 5.
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
        largest: float = LARGEST_WEIGHT,
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
        network = PreciseDmiEstimator(peaks=self.peaks)
        state = torch.load(self.weights, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v.float() for k, v in state.items()})
        network.eval()
        rows = convert_to_tensor(out["image"]).cpu()
        voxels = convert_to_tensor(out["voxels"]).cpu().numpy().astype(bool)
        mri = convert_to_tensor(out["mri"]).cpu().double().numpy().reshape(voxels.shape)
        pairs, change = neighbours(mri, voxels)
        weights = torch.from_numpy(edge_weights(change, self.largest)).float()
        where = torch.from_numpy(pairs)
        generator = torch.Generator().manual_seed(self.seed)
        estimates = convert_to_tensor(out["pred"]).cpu().clone()
        dynamics = int(out["dynamics"])
        bias = torch.zeros(self.peaks, estimates.shape[1])
        head = rows[:, : 1 + self.peaks]
        options: dict[str, Any] = {"strength": self.strength, "generator": generator}
        for d in range(dynamics):
            fids = rows[:, 1 + self.peaks + d :: dynamics]
            single = estimates[: self.peaks, d::dynamics].T.clone()
            tuned = fine_tuned_amplitudes(network, torch.cat([head, fids], 1), where, weights, **options)
            noise = self._noise(fids)
            lines = torch.complex(head[0, 1:], head[1, 1:])
            clean = torch.view_as_real(single.to(lines.dtype) @ lines).movedim(-1, 0)
            draws = []
            for _ in tqdm(range(self.repeats), desc="fine-tuning", leave=False, delay=2):
                noisy = clean + noise[None, :, None] * torch.randn(clean.shape, generator=generator)
                rows_of_it = torch.cat([head, noisy], 1)
                draws.append(fine_tuned_amplitudes(network, rows_of_it, where, weights, **options))
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
