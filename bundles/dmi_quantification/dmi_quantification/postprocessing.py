"""From the estimates to maps with their standard deviations, and what the user must know of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor
from tqdm import tqdm

from dmi_quantification.acquisition import fid_model, nearest_lines
from dmi_quantification.mri_prior import RobustPrior
from dmi_quantification.residual import Residual, examine
from dmi_quantification.warnings import EXTRA_LINE, FAINT, WIDE, acquisition_warnings, residual_warnings
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.runtime import as_flag

LARGEST_FIT = 2**29
"""Bytes of FIDs above which the fitted ones are written only if asked for."""


class PostprocessFidsd(Transform):
    """Maps with their standard deviations from the estimates, smoothed along an MRI where there is one.

    Args:
        metabolites: names, the first the reference (water).
        prior: smoother of the amplitudes; None: none.
        water_mM: concentration of the reference; None: results are ratios to it.
        factors: by metabolite, by which its amplitude is multiplied for saturation and labelled nuclei.
        delay: as of :class:`PreprocessFidsd`.
        max_shift: as of :class:`PreprocessFidsd`.
        save_fit: whether to make "fit", the fitted FIDs; None: if they take less than half a gigabyte.
        trained: acquisition a network was trained at, as attributes of the model (``larmor``, ``dwell``, ``delay``).
        repeats: of the Monte Carlo that gives the bias and standard deviation of smoothed maps.
        seed: of its draws.

    Output:
        for each metabolite "<name>_amplitude" and "<name>_amplitude_sd" (signal units), for each but the reference
        "<name>" and "<name>_sd" (ratio or mM), and "<name>_bias" (the first's: "<name>_amplitude_bias") where a prior
        was used; "shift", "linewidth" (Hz), "quality" (0 not fitted, 1 good, 2 doubtful); "maps", the names of all
        these; "summary", "flags".
    """

    def __init__(
        self,
        *,
        metabolites: Sequence[str],
        prior: RobustPrior | None = None,
        water_mM: float | None = None,  # noqa: N803 (the unit)
        factors: Mapping[str, float] | None = None,
        delay: float | None = None,
        max_shift: float = 0.4,
        save_fit: bool | str | None = None,
        trained: Mapping[str, float] | None = None,
        repeats: int = 24,
        seed: int = 0,
    ) -> None:
        self.metabolites = tuple(metabolites)
        self.prior = prior
        self.water = water_mM
        self.factors = dict(factors or {})
        self.delay = delay
        self.max_shift = max_shift
        self.save_fit = None if save_fit is None else as_flag(save_fit, "save_fit")
        self.trained = dict(trained or {})
        self.repeats = repeats
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one file."""
        out = dict(data)
        image = out["image"]
        meta = dict(image.meta)
        voxels = convert_to_tensor(out["voxels"]).cpu().numpy().astype(bool)
        dynamics = int(out["dynamics"])
        times = dict(zip(self.metabolites, out["t2_star"].tolist(), strict=True))
        model = fid_model(meta, image.shape[-1], metabolites=self.metabolites, t2_star=times, delay=self.delay)
        fitted_times = bool((out["t2_star_sd"] > 0).any())
        rows = convert_to_tensor(image).cpu()
        estimates = convert_to_tensor(out["pred"]).cpu()
        keep = rows.numel() * 4 < LARGEST_FIT if self.save_fit is None else self.save_fit
        left = examine(rows, estimates, len(self.metabolites), keep=keep)
        pred = estimates.double().numpy().reshape(len(estimates), -1, dynamics)
        count = len(self.metabolites)
        amplitude, deviation, covariance = pred[:count], pred[count : 2 * count], pred[2 * count : 3 * count]
        rest = pred[3 * count :]
        measured = amplitude[0] != 0  # a FID of zeros has no estimate
        if left.count == 0 and not (deviation > 0).any():
            deviation = np.full_like(deviation, np.nan)  # not known is not exact
        # all judgement is of single voxels: smoothed noise looks certain
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = np.where(measured, amplitude[0] / deviation[0], 0.0)
        edge = (np.abs(rest[0]) > 0.99) & measured
        width = np.where(measured, 1.0 / (math.pi * model.t2_star[0]) + rest[3] * self.unit(model), 0.0)
        merged = width > nearest_lines(model.ppm) * model.larmor
        doubtful = (snr < FAINT) | edge | merged | self._odd(left).reshape(-1, dynamics)
        echo = float(meta["echo"])
        nucleus = NUCLEI[str(meta["nucleus"])]
        flags = acquisition_warnings(
            model,
            tabulated=[
                nucleus.resonances[name]
                for name, given in zip(self.metabolites, out["t2_star_given"].tolist(), strict=True)
                if not (given or fitted_times)
            ],
            tesla=nucleus.field_of(model.larmor),
            delay_known=self.delay is not None or not math.isnan(float(meta["delay"])),
            echo=None if math.isnan(echo) or self.delay is not None else echo,
            count=int(measured.sum()),
            fitted_times=fitted_times,
        )
        flags += self._flags(snr[measured], edge, merged) + self._own_flags(model)
        found, mirrored = residual_warnings(left, model, self.metabolites, fitted_times=fitted_times)
        flags = found if mirrored else flags + found  # all else follows from the wrong sign
        bias = convert_to_tensor(out["bias"]).double().numpy().reshape(count, -1, dynamics) if "bias" in out else None
        if "mri" in out and self.prior is not None and self.prior.strength > 0:
            mri = convert_to_tensor(out["mri"]).cpu().double().numpy().reshape(voxels.shape)
            covered = convert_to_tensor(out["covered"]).cpu().numpy().reshape(voxels.shape)
            share = float(covered[voxels].mean()) if voxels.any() else 1.0
            if share < 0.95:
                effect = "nothing was smoothed: do their headers agree?" if share == 0 else "the others are as fitted"
                flags.append(f"the MRI covers {share:.0%} of the voxels; {effect}")
            sure = measured & (snr >= FAINT) & covered[voxels][:, None]
            amplitude, deviation, covariance, bias = self._smoothed(amplitude, deviation, covariance, mri, voxels, sure)
        maps = self._maps(amplitude, deviation, covariance, bias, measured, model)
        # NIfTI-MRS's frequencies fall with the chemical shift; a user's offset rises with it, as the field does
        maps |= {"shift": np.where(measured, -rest[0] * self.unit(model), 0.0), "linewidth": width}
        maps["quality"] = np.where(measured, np.where(doubtful, 2, 1), 0)
        for name, values in maps.items():
            out[name] = self._as_map(values, voxels, meta)
        if left.fit is not None:
            out["fit"] = self._as_fids(left.fit, voxels, dynamics, meta)
        out["maps"] = [*maps, *(["fit"] if left.fit is not None else [])]
        out["summary"] = {
            "matrix": "x".join(str(n) for n in voxels.shape),
            "voxels fitted": int(voxels.sum()),
            "time points": dynamics,
            "share doubtful": round(float(doubtful[measured].mean()), 4) if measured.any() else 0.0,
            "field (T)": round(nucleus.field_of(model.larmor), 2),
            "delay (ms)": round(1e3 * model.delay, 4),
            "dwell time (ms)": round(1e3 * model.dwell, 6),
            "points fitted": model.points,
            "reference (ppm)": model.reference,
            **self._medians(maps, measured & ~doubtful if (measured & ~doubtful).any() else measured),
            **self._times(out["t2_star"], out["t2_star_sd"]),
        }
        out["flags"] = flags
        return out

    def _medians(self, maps: Mapping[str, np.ndarray], good: np.ndarray) -> dict[str, float]:
        found = {}
        for name in (f"{self.metabolites[0]}_amplitude", *self.metabolites[1:]):
            label = f"median {name.replace('_', ' ')}"
            found[label] = float(f"{np.median(maps[name][good]):.4g}") if good.any() else 0.0
            spread = float(f"{np.median(maps[f'{name}_sd'][good]):.3g}") if good.any() else 0.0
            found[f"{label}, SD of a voxel"] = spread
        return found

    def _times(self, t2_star: Tensor, deviations: Tensor) -> dict[str, float]:
        found = {}
        for name, life, spread in zip(self.metabolites, t2_star, deviations, strict=True):
            found[f"T2* of {name} (ms)"] = round(1e3 * float(life), 2)
            if spread > 0:
                found[f"SD of that T2* of {name} (ms)"] = round(1e3 * float(spread), 2)
        return found

    def _odd(self, left: Residual) -> np.ndarray:
        """FIDs (V D,) in which a line is left over, or lactate too wide."""
        odd = left.tallest.numpy() > EXTRA_LINE
        if "Lac" in self.metabolites:
            odd |= left.wider[:, self.metabolites.index("Lac")].numpy() > WIDE
        return odd

    @staticmethod
    def _as_fids(fit: Tensor, voxels: np.ndarray, dynamics: int, meta: Mapping[str, Any]) -> MetaTensor:
        """(1, X, Y, Z, T[, D]), complex64."""
        points = fit.shape[-1]
        full = torch.zeros((*voxels.shape, points, dynamics), dtype=torch.complex64)
        full[torch.from_numpy(voxels)] = fit.reshape(-1, dynamics, points).transpose(1, 2)
        return MetaTensor(full[None] if dynamics > 1 else full[None, ..., 0], meta=dict(meta))

    def unit(self, model: FidModel) -> float:
        """Largest shift sought (Hz), the estimator's unit of frequency."""
        return self.max_shift * model.larmor

    def _maps(
        self,
        amplitude: np.ndarray,
        deviation: np.ndarray,
        covariance: np.ndarray,
        bias: np.ndarray | None,
        measured: np.ndarray,
        model: FidModel,
    ) -> dict[str, np.ndarray]:
        maps = {}
        water = np.where(measured, amplitude[0], 1.0)
        if bias is not None:
            maps[f"{self.metabolites[0]}_amplitude_bias"] = bias[0]
        for k, name in enumerate(self.metabolites):
            maps[f"{name}_amplitude"], maps[f"{name}_amplitude_sd"] = amplitude[k], deviation[k]
            if k == 0:
                continue
            factor = self.factors.get(name, 1.0) / self.factors.get(self.metabolites[0], 1.0) * (self.water or 1.0)
            # a ratio is that at excitation: lines of other relaxation decay differently until the first sample
            factor *= math.exp(model.delay * (1.0 / model.t2_star[k] - 1.0 / model.t2_star[0]))
            ratio = amplitude[k] / water
            variance = deviation[k] ** 2 - 2 * ratio * covariance[k] + ratio**2 * deviation[0] ** 2
            maps[name] = factor * ratio
            maps[f"{name}_sd"] = factor * np.sqrt(np.maximum(variance, 0)) / np.abs(water)
            if bias is not None:
                maps[f"{name}_bias"] = factor * (bias[k] - ratio * bias[0]) / water
        return maps

    def _smoothed(
        self,
        amplitude: np.ndarray,
        deviation: np.ndarray,
        covariance: np.ndarray,
        mri: np.ndarray,
        voxels: np.ndarray,
        sure: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Smoothed amplitudes (K, V, D), and by Monte Carlo their deviations, covariances with the first, and bias.

        The deviation is that of repetitions around the smoothed maps: around the noisy single-voxel estimates the prior
        lets go too often, and it comes out half too large. The bias is what the prior does to the single-voxel
        estimates on average, the paper's way: only they still hold a lesion that the prior has erased. Voxels that are
        not sure (faint, or not covered by the MRI) keep their single-voxel estimates and pull no other.
        """
        assert self.prior is not None
        rng = np.random.default_rng(self.seed)
        results = [amplitude.copy(), deviation.copy(), covariance.copy(), np.zeros_like(amplitude)]
        frames = range(amplitude.shape[2])
        bar = tqdm(total=2 * self.repeats * len(frames), desc="smoothing", unit="repeat", delay=2, leave=False)
        for d in frames:
            mask = np.zeros(voxels.shape, bool)
            mask[voxels] = sure[:, d]
            if not mask.any():
                continue
            chosen = sure[:, d]
            values = np.zeros((*voxels.shape, len(amplitude)))
            spread = np.ones_like(values)
            known = deviation[:, chosen, d]
            values[mask] = amplitude[:, chosen, d].T
            spread[mask] = np.maximum(known, 1e-6 * np.median(known, axis=1, keepdims=True)).T
            smooth = self.prior(values, spread, mri, mask)

            def repeated(truth: np.ndarray) -> np.ndarray:
                found = []
                for _ in range(self.repeats):
                    noisy = truth + spread * rng.standard_normal(truth.shape)  # noqa: B023 (called at once)
                    found.append(self.prior(noisy, spread, mri, mask)[mask])  # type: ignore[misc]  # noqa: B023
                    bar.update()
                return np.array(found)

            around, single = repeated(smooth), repeated(values)
            apart = around - around.mean(0)
            results[0][:, chosen, d] = smooth[mask].T
            results[1][:, chosen, d] = around.std(0, ddof=1).T
            results[2][:, chosen, d] = (apart * apart[..., :1]).sum(0).T / (self.repeats - 1)
            results[3][:, chosen, d] = (single.mean(0) - values[mask]).T
        bar.close()
        return results[0], results[1], results[2], results[3]

    @staticmethod
    def _as_map(values: np.ndarray, voxels: np.ndarray, meta: Mapping[str, Any]) -> MetaTensor:
        """(D, X, Y, Z), channel first as MONAI has it; zero where not fitted."""
        dtype = np.uint8 if np.issubdtype(values.dtype, np.integer) else np.float32
        full = np.zeros((values.shape[-1], *voxels.shape), dtype)
        full[:, voxels] = values.T
        return MetaTensor(torch.from_numpy(full), meta=dict(meta))

    def _flags(self, snr: np.ndarray, edge: np.ndarray, merged: np.ndarray) -> list[str]:
        flags = []
        if merged.any():
            flags.append(f"{int(merged.sum())} FIDs have lines as wide as the distance between two")
        if snr.size and np.median(snr) < FAINT:
            flags.append(f"{self.metabolites[0]} is under 3 standard deviations in half of the voxels: mostly noise")
        if edge.any():
            flags.append(f"{int(edge.sum())} FIDs are shifted by {self.max_shift:g} ppm or more, the largest sought")
        return flags

    def _own_flags(self, model: FidModel) -> list[str]:
        flags = []
        if self.water is not None and not self.factors:
            flags.append("mM without --factors: no saturation or number of labelled nuclei was accounted for")
        odd = [
            f"{name} {getattr(model, name):g}"
            for name, value in self.trained.items()
            if abs(getattr(model, name) - value) > 0.01 * max(value, 1e-4)
        ]
        if odd:
            wanted = ", ".join(f"{name} {value:g}" for name, value in self.trained.items())
            flags.append(f"the network was trained at {wanted}; the file has {', '.join(odd)}")
        return flags
