"""Postprocessing: turn the estimates of one file into maps, a summary and warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from torch import Tensor

from dmi_quantification.acquisition import fid_model
from dmi_quantification.estimates import Estimates
from dmi_quantification.first_samples import FirstSamples, examine_first_samples
from dmi_quantification.fit_quality import FAINT, FitQuality, judge_fits
from dmi_quantification.fitted_file import FittedFile
from dmi_quantification.metabolite_maps import metabolite_maps
from dmi_quantification.mri_prior import RobustPrior
from dmi_quantification.mri_smoothing import smooth_amplitudes
from dmi_quantification.residual import Residual, examine
from dmi_quantification.sign import FAINTEST
from dmi_quantification.summary import summary_row
from dmi_quantification.warnings import run_warnings
from mrsikit.fitting.sign_test import SignTest
from mrsikit.io.nifti_mrs import EXTENSION, misspelt_keys
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import NUCLEI
from mrsikit.restoration.resampling import resampling_warnings
from mrsikit.runtime import as_flag

LARGEST_FIT = 2**29
"""Size of the FIDs in bytes up to which the fitted ones are written unless the user says otherwise."""

Values = NDArray[np.float64]


class PostprocessFidsd(Transform):
    """Make maps with their standard deviations from the estimates, and smooth them with an MRI if there is one.

    Args:
        metabolites: names; the first is the reference (water).
        prior: smoother of the amplitudes; None: the maps stay as fitted.
        water_mM: concentration of the reference; None: the maps are ratios to it.
        factors: by metabolite, what its amplitude is multiplied by for saturation and labelled nuclei.
        delay: as of :class:`PreprocessFidsd`.
        max_shift: as of :class:`PreprocessFidsd`.
        save_fit: whether to make "fit", the fitted FIDs; None: if they take less than half a gigabyte.
        trained: acquisition that a network was trained at, as attributes of the model (``larmor``, ``dwell``,
            ``delay``).
        repeats: repetitions of the Monte Carlo that gives the bias and standard deviation of smoothed maps.
        seed: of its noise.

    Input:
        the result of :class:`PreprocessFidsd`, and "pred", the estimates (3 K + 7, V D).

    Output:
        for each metabolite "<name>_amplitude" and "<name>_amplitude_sd" (signal units); for each but the reference
        "<name>" and "<name>_sd" (ratio or mM); where a prior was used "<name>_bias", for the reference
        "<name>_amplitude_bias"; "shift" and "linewidth" (Hz); "quality" (0 not fitted, 1 good, 2 doubtful). All are
        (D, X, Y, Z). "fit" holds the fitted FIDs (1, X, Y, Z, T[, D]), "maps" the names of all these, "summary" the
        file's row of the summary, and "flags" its warnings.
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
        self.water_mM = water_mM
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
        meta = dict(out["image"].meta)
        voxels = as_array(out["voxels"]).astype(bool)
        model = self._fid_model(out)
        residual = self._residual(out)
        single = self._single_voxel_estimates(out, residual)
        wrong = self._of_wrong_sign(out, single)
        first = self._first_samples(out, residual)
        quality = judge_fits(
            single, residual, model, metabolites=self.metabolites, largest_shift=self._largest_shift(model)
        )
        quality = replace(quality, doubtful=quality.doubtful | first.doubtful.reshape(quality.doubtful.shape) | wrong)
        smoothed, bias = self._smoothed(out, single, quality, voxels)
        maps = self._maps(smoothed, bias, quality, model)
        out |= {name: as_map(values, voxels, meta) for name, values in maps.items()}
        if residual.fit is not None:
            out["fit"] = as_fids(residual.fit, voxels, int(out["dynamics"]), meta)
        out["maps"] = [*maps, *(["fit"] if residual.fit is not None else [])]
        file = self._fitted_file(out, model, first, quality, residual, voxels)
        out["summary"] = summary_row(file, maps, grid=voxels.shape)
        out["flags"] = [*run_warnings(file), *resampling_warnings(out)]
        return out

    def _of_wrong_sign(self, data: Mapping[Hashable, Any], single: Estimates[Values]) -> NDArray[np.bool_]:
        """Whether the sign of each FID (V, D) is wrong, or cannot be told although a metabolite is visible."""
        finding = sign_of(data).finding
        first, others = single.amplitude[0], single.amplitude[1:]
        if finding == "unclear" and len(others):
            return others.max(0) > FAINTEST * first
        return np.full(first.shape, finding in ("real", "reference"))

    def _fid_model(self, data: Mapping[Hashable, Any]) -> FidModel:
        """Model of the FIDs that were fitted, with the relaxation times that the preprocessing chose or fitted."""
        image = data["image"]
        times = dict(zip(self.metabolites, data["t2_star"].tolist(), strict=True))
        return fid_model(image.meta, image.shape[-1], metabolites=self.metabolites, t2_star=times, delay=self.delay)

    def _residual(self, data: Mapping[Hashable, Any]) -> Residual:
        """Examine what the fits leave, and keep the fitted FIDs if they are to be written."""
        rows, estimates = convert_to_tensor(data["image"]).cpu(), convert_to_tensor(data["pred"]).cpu()
        keep = rows.numel() * 4 < LARGEST_FIT if self.save_fit is None else self.save_fit
        return examine(rows, estimates, len(self.metabolites), keep=keep)

    def _first_samples(self, data: Mapping[Hashable, Any], residual: Residual) -> FirstSamples:
        """Look for first samples that the others contradict."""
        rows, estimates = convert_to_tensor(data["image"]).cpu(), convert_to_tensor(data["pred"]).cpu()
        return examine_first_samples(rows, estimates, residual, len(self.metabolites))

    def _single_voxel_estimates(self, data: Mapping[Hashable, Any], residual: Residual) -> Estimates[Values]:
        """Read the estimates, amplitudes (K, V, D); a standard deviation that nobody estimated is NaN, not 0."""
        rows = as_array(data["pred"]).astype(np.float64)
        rows = rows.reshape(len(rows), -1, int(data["dynamics"]))
        estimates = Estimates.from_rows(rows, len(self.metabolites))
        if residual.count == 0 and not (estimates.amplitude_sd > 0).any():
            return replace(estimates, amplitude_sd=np.full_like(estimates.amplitude_sd, np.nan))
        return estimates

    def _largest_shift(self, model: FidModel) -> float:
        """Largest shift that is sought (Hz), the estimator's unit of frequency."""
        return self.max_shift * model.larmor

    def _prior_for(self, data: Mapping[Hashable, Any]) -> RobustPrior | None:
        """Return the prior if this file is smoothed with it: there is an MRI, and the prior has a strength."""
        return self.prior if "mri" in data and self.prior is not None and self.prior.strength > 0 else None

    def _smoothed(
        self, data: Mapping[Hashable, Any], single: Estimates[Values], quality: FitQuality, voxels: NDArray[np.bool_]
    ) -> tuple[Estimates[Values], Values | None]:
        """Smooth the amplitudes with the MRI: estimates and bias (K, V, D).

        Without smoothing the estimates stay, and the bias is the estimator's own, if it gives one.
        """
        prior = self._prior_for(data)
        if prior is None:
            bias = data.get("bias")
            return single, None if bias is None else as_array(bias).astype(np.float64).reshape(single.amplitude.shape)
        return smooth_amplitudes(
            single,
            prior,
            mri=as_array(data["mri"]).astype(np.float64).reshape(voxels.shape),
            voxels=voxels,
            certain=quality.measured & (quality.snr >= FAINT) & _covered(data, voxels)[:, None],
            repeats=self.repeats,
            seed=self.seed,
        )

    def _maps(
        self, estimates: Estimates[Values], bias: Values | None, quality: FitQuality, model: FidModel
    ) -> dict[str, np.ndarray]:
        """Make all maps, (V, D) by name."""
        maps = metabolite_maps(
            estimates,
            model,
            metabolites=self.metabolites,
            measured=quality.measured,
            bias=bias,
            water_mM=self.water_mM,
            factors=self.factors,
        )
        # NIfTI-MRS's frequencies fall with the chemical shift; a user's offset rises with it, as the field does
        shift = np.where(quality.measured, -estimates.shift * self._largest_shift(model), 0.0)
        return {**maps, "shift": shift, "linewidth": quality.linewidth, "quality": quality.level}

    def _fitted_file(
        self,
        data: Mapping[Hashable, Any],
        model: FidModel,
        first: FirstSamples,
        quality: FitQuality,
        residual: Residual,
        voxels: NDArray[np.bool_],
    ) -> FittedFile:
        """Collect what the warnings and the summary are made from."""
        meta = data["image"].meta
        echo = None if math.isnan(float(meta["echo"])) else float(meta["echo"])
        return FittedFile(
            nucleus=NUCLEI[str(meta["nucleus"])],
            model=model,
            metabolites=self.metabolites,
            t2_star_sd=data["t2_star_sd"].tolist(),
            t2_star_given=data["t2_star_given"].tolist(),
            delay_known=self.delay is not None or not math.isnan(float(meta["delay"])),
            echo=echo if self.delay is None else None,
            max_shift=self.max_shift,
            water=self.water_mM,
            factors=self.factors,
            trained=self.trained,
            mri_coverage=self._mri_coverage(data, voxels),
            grid=voxels.shape,
            sampled=data["sampled"],
            misspelt=misspelt_keys(json.loads(meta[EXTENSION])),
            sign=sign_of(data),
            first_samples=first,
            quality=quality,
            residual=residual,
        )

    def _mri_coverage(self, data: Mapping[Hashable, Any], voxels: NDArray[np.bool_]) -> float | None:
        """Share of the fitted voxels that the MRI covers; None if nothing is smoothed or fitted."""
        if self._prior_for(data) is None or not voxels.any():
            return None
        return float(_covered(data, voxels).mean())


def sign_of(data: Mapping[Hashable, Any]) -> SignTest:
    """What the preprocessing found of the sign of the FIDs."""
    return SignTest(**json.loads(data["sign"]))


def as_array(values: Any) -> np.ndarray:
    """Return a tensor, with or without metadata, on any device, as an array."""
    return convert_to_tensor(values).cpu().numpy()


def as_map(values: np.ndarray, voxels: NDArray[np.bool_], meta: Mapping[str, Any]) -> MetaTensor:
    """Put the values of the fitted voxels on the grid, zero elsewhere.

    Args:
        values: (V, D), one for each fitted voxel and time point.
        voxels: (X, Y, Z), the V fitted voxels.
        meta: of the FIDs.

    Returns:
        (D, X, Y, Z), channel first as MONAI has it; uint8 if the values are integers, else float32.
    """
    dtype = np.uint8 if np.issubdtype(values.dtype, np.integer) else np.float32
    full = np.zeros((values.shape[-1], *voxels.shape), dtype)
    full[:, voxels] = values.T
    return MetaTensor(torch.from_numpy(full), meta=dict(meta))


def as_fids(fit: Tensor, voxels: NDArray[np.bool_], dynamics: int, meta: Mapping[str, Any]) -> MetaTensor:
    """Put the fitted FIDs on the grid, zero elsewhere.

    Args:
        fit: (V D, T), the time points of a voxel together.
        voxels: (X, Y, Z), the V fitted voxels.
        dynamics: number D of time points.
        meta: of the FIDs.

    Returns:
        (1, X, Y, Z, T[, D]), complex64.
    """
    points = fit.shape[-1]
    full = torch.zeros((*voxels.shape, points, dynamics), dtype=torch.complex64)
    full[torch.from_numpy(voxels)] = fit.reshape(-1, dynamics, points).transpose(1, 2)
    return MetaTensor(full[None] if dynamics > 1 else full[None, ..., 0], meta=dict(meta))


def _covered(data: Mapping[Hashable, Any], voxels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the MRI covers each fitted voxel (V,)."""
    return as_array(data["covered"]).reshape(voxels.shape)[voxels]
