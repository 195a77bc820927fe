"""From NIfTI-MRS to the estimator's input, and from its estimates to maps."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SpatialResample, Transform
from torch import Tensor

from dmi_quantification.network import FidLeastSquares
from dmi_quantification.prior import RobustPrior
from dmi_quantification.relaxation import fit_t2_star
from dmi_quantification.residual import Residual, examine
from mrsikit import spectra
from mrsikit.io import InputError, as_flag
from mrsikit.nuclei import NUCLEI
from mrsikit.synthesis.fid import FidModel

METABOLITES = ("water", "Glc", "Glx", "Lac")
"""Of the config."""

CHUNK, SOME = 2048, 1024
"""Voxels laid out at a time; voxels in which the end of the acquired samples is looked for."""

AXES = 3
"""Spatial axes of NIfTI-MRS."""

LARGEST_FIT = 2**29
"""Bytes of FIDs above which the fitted ones are written only if asked for."""

FAINT = 3.0
"""Amplitude of the reference, in standard deviations, below which a fit is doubtful."""

EXTRA_LINE = 4.5
"""Height of the residual's tallest line over the noise that one FID in 10,000 of noise reaches."""

WIDER, ODD_SHARE = 5.0, 0.005
"""Score of a line's own width that is no chance, and the share of FIDs with it that is worth a flag."""


def option_problems(
    metabolites: Sequence[str],
    t2_star: Mapping[str, float] | None = None,
    factors: Mapping[str, float] | None = None,
    nucleus: str = "2H",
) -> list[str]:
    """Say what is wrong with the options that name metabolites.

    Args:
        metabolites: to fit.
        t2_star: times (s) by metabolite.
        factors: by metabolite.
        nucleus: whose table must know them.

    Returns:
        A line a problem, with what would be right.
    """
    known = NUCLEI[nucleus].resonances if nucleus in NUCLEI else {}
    if not known:
        return [f"nucleus {nucleus}: has no metabolites here; give 2H data"]
    if isinstance(metabolites, str) or not metabolites:
        return [f"--metabolites {metabolites}: is no list; give for example \"['water','Glc']\""]
    problems = [
        f"--metabolites {name}: is not in the table of {nucleus}; it holds {', '.join(known)}"
        for name in metabolites
        if name not in known
    ]
    if len(set(metabolites)) < len(metabolites):
        problems.append(f"--metabolites {metabolites}: names one twice")
    for option, values in {"t2_star": t2_star or {}, "factors": factors or {}}.items():
        if not isinstance(values, Mapping):
            problems.append(f"--{option} {values}: is no table; give for example \"{{'{metabolites[-1]}':0.05}}\"")
            continue
        for name, value in values.items():
            if name not in metabolites:
                problems.append(f"--{option} {name}: is none of the metabolites {', '.join(metabolites)}")
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                problems.append(f"--{option} {name} {value}: is no number above zero")
    return problems


def output_names(metabolites: Sequence[str], *, prior: bool = False) -> list[str]:
    """Suffixes of the maps that are always written, or (``prior``) of what only some runs write."""
    others = list(metabolites)[1:]
    if prior:
        return ["fit", *(f"{name}_bias" for name in others)]
    amplitudes = [f"{name}_amplitude{what}" for name in metabolites for what in ("", "_sd")]
    ratios = [f"{name}{what}" for name in others for what in ("", "_sd")]
    return [*amplitudes, *ratios, "shift", "linewidth", "quality"]


def fid_model(
    meta: Mapping[str, Any],
    points: int,
    *,
    metabolites: Sequence[str],
    t2_star: Mapping[str, float],
    delay: float | None,
) -> FidModel:
    """Model of a file's FIDs.

    Args:
        meta: of a MetaTensor read by :class:`mrsikit.io.NiftiMRSReader`.
        points: samples of a FID.
        metabolites: names in the nucleus's table.
        t2_star: relaxation times (s) that replace those of the table.
        delay: from excitation to the first sample (s), None: the file's, or 0.

    Raises:
        InputError: the nucleus or a metabolite is unknown.
    """
    nucleus = NUCLEI.get(str(meta["nucleus"]))
    if nucleus is None or not nucleus.resonances:
        raise InputError(f"nucleus {meta['nucleus']} has no metabolites here; give 2H data")
    unknown = [name for name in metabolites if name not in nucleus.resonances]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: not in the table of {nucleus.name}: {', '.join(nucleus.resonances)}")
    larmor, dwell = float(meta["larmor"]), float(meta["dwell"])
    reference, stored = float(meta["reference"]), float(meta["delay"])
    known = [nucleus.resonances[name] for name in metabolites]
    tesla = nucleus.field_of(larmor)
    return FidModel(
        ppm=[line.ppm for line in known],
        t2_star=[t2_star.get(line.name) or line.t2_star_at(tesla) for line in known],
        larmor=larmor,
        reference=nucleus.reference if math.isnan(reference) else reference,
        dwell=dwell,
        points=points,
        delay=delay if delay is not None else 0.0 if math.isnan(stored) else stored,
    )


class PrepareFidsd(MapTransform):
    """Lay out the FIDs of a file for the estimator, with what describes their acquisition.

    Args:
        keys: FIDs (1, X, Y, Z, T, ...), complex, with the metadata of :class:`mrsikit.io.NiftiMRSReader`.
        metabolites: names in the nucleus's table; the first is the reference.
        t2_star: relaxation times (s) by metabolite that replace those of the table.
        delay: from excitation to the first sample (s); None: the file's.
        max_shift: largest frequency shift sought (ppm); under half the distance of two lines.
        fit_t2_star: whether to fit the relaxation times of all but the first metabolite to the whole file.
        mask: key of the optional mask of voxels to fit (1, X, Y, Z).
        mri: key of the optional image (1, X, Y, Z) on its own grid.

    Output:
        the key holds the estimator's input (2, 1 + K + V, T); "voxels" the mask of those fitted (X, Y, Z); "dynamics"
        the number of time points; "t2_star" and "t2_star_sd" the relaxation times (s); "mri", if given, on the grid of
        the FIDs, 0 to 1.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        metabolites: Sequence[str],
        t2_star: Mapping[str, float] | None = None,
        delay: float | None = None,
        max_shift: float = 0.4,
        fit_t2_star: bool | str = False,
        mask: str = "mask",
        mri: str = "mri",
    ) -> None:
        super().__init__(keys)
        self.metabolites = tuple(metabolites)
        self.t2_star = dict(t2_star or {})
        self.delay = delay
        self.max_shift = max_shift
        self.fit_t2_star = as_flag(fit_t2_star, "fit_t2_star")
        self.mask, self.mri = mask, mri

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the key by the estimator's input.

        Raises:
            InputError: from :func:`fid_model`.
        """
        out = dict(data)
        for key in self.key_iterator(out):
            fids = torch.as_tensor(out[key]).as_subclass(Tensor)[0]
            meta = dict(out[key].meta)
            grid = fids.shape[:AXES]
            if self.mask in out:
                voxels = torch.as_tensor(out[self.mask]).as_subclass(Tensor).reshape(grid) > 0
            else:
                voxels = (fids != 0).flatten(AXES).any(-1)
            places = voxels.nonzero()
            fids = fids.flatten(AXES + 1) if fids.ndim > AXES + 1 else fids[..., None]
            some = fids[tuple(places[:: max(1, len(places) // SOME)].T)]
            acquired = spectra.acquired_points(some.transpose(1, 2)) if len(places) else fids.shape[AXES]
            model = fid_model(meta, acquired, metabolites=self.metabolites, t2_star=self.t2_star, delay=self.delay)
            unit = self.max_shift * model.larmor
            rows = _rows(_head(model, unit), fids, places)
            spread = [0.0] * len(self.metabolites)
            if self.fit_t2_star and len(places):
                network = FidLeastSquares(peaks=len(self.metabolites))
                times, spread = fit_t2_star(rows, list(model.t2_star), unit, network=network)
                model = replace(model, t2_star=times)
                rows[:, : 1 + len(times)] = _two(_head(model, unit))
            out["t2_star"], out["t2_star_sd"] = torch.tensor(model.t2_star), torch.tensor(spread)
            out[key] = MetaTensor(rows, meta=meta)
            out["voxels"] = voxels
            out["dynamics"] = fids.shape[-1]
            if self.mri in out:
                out["mri"] = on_grid(out[self.mri], grid, torch.as_tensor(meta["affine"]), voxels)
        return out


def _head(model: FidModel, unit: float) -> Tensor:
    """Times and lines (1 + K, T), complex64: the first rows of the estimator's input."""
    at = torch.complex(model.times * unit, (model.times + model.delay) * unit)[None]
    return torch.cat([at, model.basis()]).to(torch.complex64)


def _two(values: Tensor) -> Tensor:
    """Real and imaginary part (2, ...)."""
    return torch.stack([values.real, values.imag])


def _rows(head: Tensor, fids: Tensor, places: Tensor) -> Tensor:
    """The estimator's input (2, 1 + K + V D, T), the time points of a voxel together; a chunk of voxels at a time.

    Args:
        head: (1 + K, T).
        fids: (X, Y, Z, T or more, D).
        places: (V, 3).
    """
    points, dynamics = head.shape[1], fids.shape[-1]
    rows = torch.empty(2, len(head) + len(places) * dynamics, points)
    rows[:, : len(head)] = _two(head)
    for start in range(0, len(places), CHUNK):
        some = fids[tuple(places[start : start + CHUNK].T)][:, :points].transpose(1, 2).flatten(0, 1)
        first = len(head) + start * dynamics
        rows[:, first : first + len(some)] = _two(some)
    return rows


def on_grid(mri: MetaTensor, grid: Sequence[int], affine: Tensor, mask: Tensor) -> Tensor:
    """Bring an image to the grid of the FIDs: averaged over each voxel, masked, scaled to 0 to 1.

    Args:
        mri: (1, X', Y'[, Z']) with its affine.
        grid: (X, Y, Z).
        affine: of the FIDs, voxel to mm.
        mask: (X, Y, Z).

    Returns:
        (X, Y, Z), float32.
    """
    values = torch.as_tensor(mri).as_subclass(Tensor).float()
    image = MetaTensor(values if values.ndim == 4 else values[..., None], affine=mri.affine)
    finer = 5
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = -0.5 + 0.5 / finer
    fine_affine = affine.double() @ shift @ torch.diag(torch.tensor([1 / finer] * 3 + [1.0], dtype=torch.float64))
    fine = SpatialResample(mode="bilinear", padding_mode="zeros")(
        image, dst_affine=fine_affine, spatial_size=[n * finer for n in grid]
    )
    mean = torch.nn.functional.avg_pool3d(torch.as_tensor(fine).as_subclass(Tensor)[None].float(), finer)[0, 0]
    mean = mean * mask
    return mean / mean.abs().max().clamp(min=1e-12)


class QuantifyFidsd(Transform):
    """Maps with their standard deviations from the estimates, smoothed along an MRI where there is one.

    Args:
        metabolites: names, the first the reference (water).
        prior: smoother of the amplitudes; None: none.
        water_mM: concentration of the reference; None: results are ratios to it.
        factors: by metabolite, by which its ratio is multiplied for saturation and labelled nuclei.
        delay: as of :class:`PrepareFidsd`.
        max_shift: as of :class:`PrepareFidsd`.
        save_fit: whether to make "fit", the fitted FIDs; None: if they take less than half a gigabyte.
        repeats: of the Monte Carlo that gives the bias and standard deviation of smoothed maps.
        seed: of its draws.

    Output:
        for each metabolite "<name>_amplitude" and "<name>_amplitude_sd" (signal units), for each but the reference
        "<name>" and "<name>_sd" (ratio or mM), and "<name>_bias" where the prior was used; "shift", "linewidth" (Hz),
        "quality" (0 not fitted, 1 good, 2 doubtful); "maps", the names of all these; "summary", "flags".
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
        self.repeats = repeats
        self.seed = seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one file."""
        out = dict(data)
        image = out["image"]
        voxels = torch.as_tensor(out["voxels"]).as_subclass(Tensor).cpu().numpy().astype(bool)
        dynamics = int(out["dynamics"])
        times = dict(zip(self.metabolites, out["t2_star"].tolist(), strict=True))
        model = fid_model(image.meta, image.shape[-1], metabolites=self.metabolites, t2_star=times, delay=self.delay)
        rows = torch.as_tensor(image).as_subclass(Tensor).cpu()
        estimates = torch.as_tensor(out["pred"]).as_subclass(Tensor).cpu()
        keep = rows.numel() * 4 < LARGEST_FIT if self.save_fit is None else self.save_fit
        left = examine(rows, estimates, len(self.metabolites), keep=keep)
        pred = estimates.double().numpy()
        pred = pred.reshape(pred.shape[0], -1, dynamics)
        count = len(self.metabolites)
        amplitude, deviation, covariance = pred[:count], pred[count : 2 * count], pred[2 * count : 3 * count]
        rest = pred[3 * count :]
        shift, broadening = rest[0] * self.unit(model), rest[3] * self.unit(model)
        bias = torch.as_tensor(out["bias"]).double().numpy().reshape(count, -1, dynamics) if "bias" in out else None
        if "mri" in out and self.prior is not None:
            mri = torch.as_tensor(out["mri"]).as_subclass(Tensor).cpu().double().numpy().reshape(voxels.shape)
            amplitude, deviation, bias = self._smoothed(amplitude, deviation, mri, voxels)
            covariance = np.zeros_like(covariance)
        maps = self._maps(amplitude, deviation, covariance, bias)
        width = 1.0 / (math.pi * model.t2_star[0]) + broadening
        maps |= {"shift": shift, "linewidth": width}
        snr = amplitude[0] / np.maximum(deviation[0], 1e-30)
        edge = np.abs(rest[0]) > 0.99
        extra = left.tallest.reshape(-1, dynamics).numpy() > EXTRA_LINE
        maps["quality"] = np.where((snr < FAINT) | edge | extra, 2, 1)
        for name, values in maps.items():
            out[name] = self._as_map(values, voxels, image.meta)
        if left.fit is not None:
            out["fit"] = self._as_fids(left.fit, voxels, dynamics, image.meta)
        out["maps"] = [*maps, *(["fit"] if left.fit is not None else [])]
        summary = {
            "matrix": "x".join(str(n) for n in voxels.shape),
            "voxels fitted": int(voxels.sum()),
            "time points": dynamics,
            "field (T)": round(NUCLEI[str(image.meta["nucleus"])].field_of(model.larmor), 2),
        }
        for k, name in enumerate(self.metabolites):
            summary[f"median {name} amplitude"] = float(np.median(amplitude[k])) if amplitude[k].size else 0.0
        for name, life, spread in zip(self.metabolites, out["t2_star"], out["t2_star_sd"], strict=True):
            summary[f"T2* of {name} (ms)"] = round(1e3 * float(life), 2)
            if spread > 0:
                summary[f"SD of that T2* of {name} (ms)"] = round(1e3 * float(spread), 2)
        out["summary"] = summary
        out["flags"] = [*self._flags(image.meta, snr, edge), *self._residual_flags(left, model)]
        return out

    @staticmethod
    def _as_fids(fit: Tensor, voxels: np.ndarray, dynamics: int, meta: Mapping[str, Any]) -> MetaTensor:
        """(1, X, Y, Z, T[, D]), complex64."""
        points = fit.shape[-1]
        full = torch.zeros((*voxels.shape, points, dynamics), dtype=torch.complex64)
        full[torch.from_numpy(voxels)] = fit.reshape(-1, dynamics, points).transpose(1, 2)
        return MetaTensor(full[None] if dynamics > 1 else full[None, ..., 0], meta=dict(meta))

    def _residual_flags(self, left: Residual, model: FidModel) -> list[str]:
        """What the residuals say against the model."""
        flags = []
        found = left.tallest > EXTRA_LINE
        if found.any():
            axis = spectra.ppm_axis(model.points, model.dwell, larmor=model.larmor, reference=model.reference)
            where = float(axis[left.where[found]].median())
            flags.append(
                f"{int(found.sum())} FIDs hold a line that is not in the model, most often near {where:.1f} ppm"
            )
        for k, name in enumerate(self.metabolites):
            count = int((left.wider[:, k] > WIDER).sum())
            if name == "Lac" and count > ODD_SHARE * len(left.wider):
                flags.append(f"lactate is too wide for its model in {count} FIDs: lipid at 1.3 ppm mimics it")
            typical = float(left.wider[:, k].median()) if len(left.wider) else 0.0
            if abs(typical) > 1:
                way = "shorter" if typical > 0 else "longer"
                flags.append(
                    f"the T2* of {name} looks {way} than {1e3 * model.t2_star[k]:.0f} ms: try --fit_t2_star true"
                )
        return flags

    def unit(self, model: FidModel) -> float:
        """Largest shift sought (Hz), the estimator's unit of frequency."""
        return self.max_shift * model.larmor

    def _maps(
        self, amplitude: np.ndarray, deviation: np.ndarray, covariance: np.ndarray, bias: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        maps = {}
        water = np.where(amplitude[0] == 0, np.nan, amplitude[0])
        for k, name in enumerate(self.metabolites):
            maps[f"{name}_amplitude"], maps[f"{name}_amplitude_sd"] = amplitude[k], deviation[k]
            if k == 0:
                continue
            factor = (self.water or 1.0) * self.factors.get(name, 1.0)
            ratio = amplitude[k] / water
            variance = deviation[k] ** 2 - 2 * ratio * covariance[k] + ratio**2 * deviation[0] ** 2
            maps[name] = factor * ratio
            maps[f"{name}_sd"] = factor * np.sqrt(np.maximum(variance, 0)) / np.abs(water)
            if bias is not None:
                maps[f"{name}_bias"] = factor * bias[k] / water
        return maps

    def _smoothed(
        self, amplitude: np.ndarray, deviation: np.ndarray, mri: np.ndarray, voxels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Smoothed amplitudes (K, V, D), and by Monte Carlo their standard deviation and bias.

        The deviation is that of repetitions around the smoothed maps: around the noisy single-voxel estimates the prior
        lets go too often, and it comes out half too large. The bias is what the prior does to the single-voxel
        estimates on average, the paper's way: only they still hold a lesion that the prior has erased.
        """
        assert self.prior is not None
        rng = np.random.default_rng(self.seed)
        results = [np.empty_like(amplitude) for _ in range(3)]
        for d in range(amplitude.shape[2]):
            values = np.zeros((*voxels.shape, len(amplitude)))
            spread = np.ones_like(values)
            values[voxels], spread[voxels] = amplitude[..., d].T, np.maximum(deviation[..., d].T, 1e-12)
            smooth = self.prior(values, spread, mri, voxels)[voxels]
            centre = values.copy()
            centre[voxels] = smooth
            around, single = (
                [
                    self.prior(truth + spread * rng.standard_normal(values.shape), spread, mri, voxels)[voxels]
                    for _ in range(self.repeats)
                ]
                for truth in (centre, values)
            )
            results[0][..., d] = smooth.T
            results[1][..., d] = np.std(around, axis=0, ddof=1).T
            results[2][..., d] = (np.mean(single, axis=0) - values[voxels]).T
        return results[0], results[1], results[2]

    @staticmethod
    def _as_map(values: np.ndarray, voxels: np.ndarray, meta: Mapping[str, Any]) -> MetaTensor:
        """(D, X, Y, Z), channel first as MONAI has it; zero where not fitted."""
        dtype = np.uint8 if np.issubdtype(values.dtype, np.integer) else np.float32
        full = np.zeros((values.shape[-1], *voxels.shape), dtype)
        full[:, voxels] = values.T
        return MetaTensor(torch.from_numpy(full), meta=dict(meta))

    def _flags(self, meta: Mapping[str, Any], snr: np.ndarray, edge: np.ndarray) -> list[str]:
        flags = []
        if self.delay is None and math.isnan(float(meta["delay"])):
            flags.append("the file gives no acquisition delay: 0 was assumed; set --delay (s)")
        if snr.size and np.median(snr) < FAINT:
            flags.append(f"{self.metabolites[0]} is under 3 standard deviations in half of the voxels: mostly noise")
        if edge.any():
            flags.append(f"{int(edge.sum())} FIDs are shifted by {self.max_shift:g} ppm or more, the largest sought")
        return flags
