"""Reference method: the PRECISE-DMI paper trains its network's last layers on the data set, towards smooth maps."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from dmi_quantification.estimates import Estimates
from dmi_quantification.mri_prior import neighbours, solve
from dmi_quantification.reference_precise_dmi import PreciseDmiEstimator

Batch = Literal["neighbourhood", "pairs"]

LARGEST_WEIGHT = 60.0
"""Largest weight of Eq. 5. The paper does not print it; with this one its prior gains threefold at lambda .01.

It belongs to the batches of Fig. 2, in which lambda is weaker than in Eq. 4: see :func:`fine_tuned`.
"""


@dataclass(frozen=True, kw_only=True)
class PreciseDmiPrior:
    """Solve the PRECISE-DMI paper's smoothing exactly, as one linear system; a fine-tuned network only approaches it.

    This is Eq. 4 with the lambda that an epoch of the paper's batches amounts to: see :func:`fine_tuned`.

    Attributes:
        strength: lambda of the paper.
        largest: largest weight of Eq. 5.
    """

    strength: float = 0.01
    largest: float = LARGEST_WEIGHT

    def __call__(
        self, maps: NDArray[np.float64], sd: NDArray[np.float64], mri: NDArray[np.float64], mask: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Smooth maps; arguments and result are those of :meth:`RobustPrior.__call__`, but ``sd`` has no effect."""
        pairs, change = neighbours(mri, mask)
        weights = edge_weights(change, self.largest)
        # a voxel is in 3^n batches, and a pair in the sums of both its voxels
        strength = 2 * self.strength / 3**mri.ndim
        out = maps.copy()
        out[mask] = solve(maps[mask], np.ones_like(maps[mask]), pairs, weights, strength)
        return out


def edge_weights(change: NDArray[np.float64], largest: float = LARGEST_WEIGHT) -> NDArray[np.float64]:
    """Compute the weights of Eq. 5 of the PRECISE-DMI paper.

    Args:
        change: (P,) differences of the MRI between neighbours.
        largest: largest weight.

    Returns:
        (P,) weights.
    """
    with np.errstate(divide="ignore"):
        return np.minimum(1.0 / change**2, largest)


def fine_tuned(
    network: PreciseDmiEstimator,
    features: Tensor,
    pairs: Tensor,
    weights: Tensor,
    *,
    strength: float,
    batch: Batch = "neighbourhood",
    epochs: int = 3,
    steps: int = 300,
    fewest_pairs: int = 1024,
    learning_rate: float = 1e-3,
    generator: torch.Generator,
) -> Tensor:
    r"""Train the network's last layers on the data set and estimate the amplitudes again.

    The loss is Eq. 4 of the PRECISE-DMI paper:

    .. math:: \sum_v |C_2(Y_v) - C(Y_v)|^2 + \lambda \sum_{u \in \Omega_v} \omega_{vu} |C_2(Y_v) - C_2(Y_u)|^2

    The paper makes a batch of each voxel and its 3 x 3 (x 3) neighbours (its Fig. 2), and does not say how Eq. 4 is
    split among batches. Here the first term is over all voxels of a batch, the second over the pairs of its centre, and
    both are divided by the number of voxels of the batch. A voxel is in up to 9 batches (27 in a volume) of an epoch,
    and the centre of one. So an epoch amounts to Eq. 4 with lambda / 9 (lambda / 27). Many pairs in a step have the
    same loss and less noise. The paper does not print the number of steps.

    Args:
        network: trained on single voxels; it stays as it is.
        features: (V, F) that its convolutions find in the FIDs.
        pairs: (P, 2) numbers of voxels that touch, each pair once.
        weights: (P,) of Eq. 5.
        strength: lambda.
        batch: "neighbourhood", the paper's batch, or "pairs", many pairs drawn from the whole data set.
        epochs: number of times that every voxel is the centre of a batch, with "neighbourhood".
        steps: number of steps of Adam, with "pairs".
        fewest_pairs: smallest number of pairs of a step, with "pairs"; a sixteenth of all pairs if that is more.
        learning_rate: of Adam.
        generator: of the order of the batches.

    Returns:
        (V, K) amplitudes, in units of the network's largest.
    """
    layers = copy.deepcopy(network.cnn.connected)
    with torch.no_grad():
        before = layers(features)
    optimiser = torch.optim.Adam(layers.parameters(), learning_rate)
    task = _FineTuning(layers, features, before, pairs, weights, strength, generator)
    losses = task.by_neighbourhood(epochs) if batch == "neighbourhood" else task.by_pairs(steps, fewest_pairs)
    for loss in losses:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return layers(features)


@dataclass(frozen=True)
class _FineTuning:
    """Arguments of :func:`fine_tuned`, with the layers to train and what they gave before, (V, K)."""

    layers: torch.nn.Module
    features: Tensor
    before: Tensor
    pairs: Tensor
    weights: Tensor
    strength: float
    generator: torch.Generator

    def by_neighbourhood(self, epochs: int) -> Iterator[Tensor]:
        """Loss of one batch after the other: a voxel with its neighbours, all voxels in random order in each epoch."""
        both = torch.cat([self.pairs, self.pairs.flip(1)])
        order = torch.argsort(both[:, 0], stable=True)
        sizes = torch.bincount(both[:, 0], minlength=len(self.features)).tolist()
        around = both[order, 1].split(sizes)
        pull = torch.cat([self.weights, self.weights])[order].split(sizes)
        for _ in range(epochs):
            for voxel in torch.randperm(len(self.features), generator=self.generator).tolist():
                chosen = torch.cat([torch.tensor([voxel]), around[voxel]])
                now = self.layers(self.features[chosen])
                faithful = ((now - self.before[chosen]) ** 2).sum(1)
                smooth = pull[voxel] * ((now[:1] - now[1:]) ** 2).sum(1)
                yield (faithful.sum() + self.strength * smooth.sum()) / len(chosen)

    def by_pairs(self, steps: int, fewest: int) -> Iterator[Tensor]:
        """Loss of one step after the other: many pairs, drawn from the whole data set."""
        count, voxels_there = len(self.pairs), len(self.features)
        size = min(max(fewest, count // 16), count)
        # in a plane a voxel has 4 pairs at most, in space 13
        neighbourhood = 9.0 if count < 6 * voxels_there else 27.0
        # a pair stands in the sums of both its voxels, and a voxel has as many pairs as neighbours
        per_voxel = 2.0 * count / voxels_there
        for _ in range(steps):
            chosen = torch.randint(count, (size,), generator=self.generator)
            # a voxel of several pairs goes through the layers once
            voxels, places = torch.unique(self.pairs[chosen], return_inverse=True)
            now = self.layers(self.features[voxels])
            change = ((now - self.before[voxels]) ** 2).sum(1)
            here, there = now[places[:, 0]], now[places[:, 1]]
            faithful = change[places].sum(1)
            smooth = 2.0 * self.weights[chosen] * ((here - there) ** 2).sum(1)
            yield (faithful / per_voxel + self.strength / neighbourhood * smooth).mean()


def fine_tuned_amplitudes(
    network: PreciseDmiEstimator, rows: Tensor, pairs: Tensor, weights: Tensor, **options: Any
) -> Tensor:
    """Fine-tune on FIDs.

    Args:
        network: trained on single voxels; it stays as it is.
        rows: (2, 1 + K + V, T), the estimator's input.
        pairs: as of :func:`fine_tuned`.
        weights: as of :func:`fine_tuned`.
        options: as of :func:`fine_tuned`.

    Returns:
        (V, K) amplitudes in the unit of the FIDs.
    """
    with torch.no_grad():
        features, scale = network.features(rows[None])
    return fine_tuned(network, features[0], pairs, weights, **options) * network.cnn.largest * scale[0, 0, 0]


class FineTuneFidsd(Transform):
    """Replace single-voxel amplitudes by fine-tuned ones, with the paper's estimates of standard deviation and bias.

    The paper (Evaluation, in vivo experiments) takes three steps. The single-voxel result stands for the truth. FIDs
    are simulated from it ``repeats`` times, each time with new noise. The network is fine-tuned on each, as on the
    data. Without an MRI, or with strength 0, the data stay as they are.

    Args:
        weights: of :class:`PreciseDmiEstimator`, a file.
        peaks: number K of lines.
        strength: lambda; the paper uses .004, .01 and .04.
        largest: largest weight of Eq. 5.
        repeats: number of repetitions of the Monte Carlo.
        batch: as of :func:`fine_tuned`.
        epochs: as of :func:`fine_tuned`.
        seed: of its noise and of the training.

    Output:
        "pred" with fine-tuned amplitudes and their standard deviations; "bias" (K, V D), the mean error of the
        repetitions.
    """

    def __init__(
        self,
        *,
        weights: str | Path,
        peaks: int = 4,
        strength: float = 0.01,
        largest: float = LARGEST_WEIGHT,
        repeats: int = 10,
        batch: Batch = "neighbourhood",
        epochs: int = 3,
        seed: int = 0,
    ) -> None:
        self.weights = weights
        self.peaks = peaks
        self.strength = strength
        self.largest = largest
        self.repeats = repeats
        self.batch = batch
        self.epochs = epochs
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Fine-tune on one file."""
        out = dict(data)
        if "mri" not in out or self.strength == 0:
            return out
        network = self._network()
        rows = convert_to_tensor(out["image"]).cpu()
        head, fids = rows[:, : 1 + self.peaks], rows[:, 1 + self.peaks :]
        pairs, weights = self._pairs(out)
        generator = torch.Generator().manual_seed(self.seed)
        pred = convert_to_tensor(out["pred"]).cpu().clone()
        estimates = Estimates.from_rows(pred, self.peaks)  # views: what is written to them stands in pred
        bias = torch.zeros_like(estimates.amplitude)

        def tuned(some: Tensor) -> Tensor:
            return fine_tuned_amplitudes(
                network,
                torch.cat([head, some], 1),
                pairs,
                weights,
                strength=self.strength,
                batch=self.batch,
                epochs=self.epochs,
                generator=generator,
            )

        dynamics = int(out["dynamics"])
        for d in range(dynamics):
            measured = fids[:, d::dynamics]
            single = estimates.amplitude[:, d::dynamics].T.clone()
            estimates.amplitude[:, d::dynamics] = tuned(measured).T
            simulated = _simulated(single, head, _noise_sd(measured), self.repeats, generator)
            # one by one: the noise and the training draw from the same generator in turn
            repeated = torch.stack([tuned(noisy) for noisy in simulated])
            estimates.amplitude_sd[:, d::dynamics] = repeated.std(0).T
            bias[:, d::dynamics] = (repeated.mean(0) - single).T
        out["pred"], out["bias"] = pred, bias
        return out

    def _network(self) -> PreciseDmiEstimator:
        """Load the network that was trained on single voxels."""
        network = PreciseDmiEstimator(peaks=self.peaks)
        state = torch.load(self.weights, map_location="cpu", weights_only=True)
        network.load_state_dict({k: v.float() for k, v in state.items()})
        return network.eval()

    def _pairs(self, data: Mapping[Hashable, Any]) -> tuple[Tensor, Tensor]:
        """Pairs (P, 2) of voxels that touch, and their weights (P,)."""
        voxels = convert_to_tensor(data["voxels"]).cpu().numpy().astype(bool)
        mri = convert_to_tensor(data["mri"]).cpu().double().numpy().reshape(voxels.shape)
        pairs, change = neighbours(mri, voxels)
        return torch.from_numpy(pairs), torch.from_numpy(edge_weights(change, self.largest)).float()


def _noise_sd(fids: Tensor) -> Tensor:
    """Standard deviation (V,) of the noise of FIDs (2, V, T), from their last quarter."""
    tail = fids[:, :, -max(8, fids.shape[-1] // 4) :]
    return tail.std((0, 2))


def _simulated(
    amplitudes: Tensor, head: Tensor, noise_sd: Tensor, repeats: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Simulate FIDs (2, V, T) of amplitudes (V, K), ``repeats`` times with new noise.

    Args:
        amplitudes: (V, K).
        head: (2, 1 + K, T), the rows of the estimator's input that describe the acquisition.
        noise_sd: (V,) standard deviation in each channel.
        repeats: how often.
        generator: of the noise.
    """
    lines = torch.complex(head[0, 1:], head[1, 1:])
    clean = torch.view_as_real(amplitudes.to(lines.dtype) @ lines).movedim(-1, 0)
    for _ in tqdm(range(repeats), desc="fine-tuning", leave=False, delay=2):
        yield clean + noise_sd[None, :, None] * torch.randn(clean.shape, generator=generator)
