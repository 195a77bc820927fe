"""Preprocessing: turn the FIDs of a NIfTI-MRS file and an MRI into the estimator's input."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from dmi_quantification.acquisition import acquisition_rows, fid_model, real_and_imaginary
from dmi_quantification.network import FidLeastSquares
from dmi_quantification.options import METABOLITES
from dmi_quantification.relaxation import fit_t2_star, strongest_fids
from dmi_quantification.sign import find_sign
from mrsikit.fitting.sign_test import SignTest
from mrsikit.io.nifti_mrs import EXTENSION, without_single_axes
from mrsikit.physics import spectra
from mrsikit.restoration.resampling import companions_to_map_grid, image_on_grid
from mrsikit.restoration.sampled_matrix import sampled_matrix
from mrsikit.runtime import as_flag
from mrsikit.runtime.options import Sign

CHUNK = 2048
"""Number of voxels whose FIDs are laid out at a time."""

SOME = 1024
"""Number of voxels in which the zero filling at the end of the FIDs is looked for."""

AXES = 3
"""Number of spatial axes of NIfTI-MRS."""

FEW_POINTS = 8
"""Number of points of the FIDs in which interpolation between the voxels is looked for."""

FINER = 5
"""Number of points along each axis of a voxel at which the MRI is read."""


class PreprocessFidsd(MapTransform):
    """Lay out the FIDs of a file for the estimator, behind rows that describe their acquisition.

    Args:
        keys: FIDs (1, X, Y, Z, T, ...), complex, with the metadata of :class:`mrsikit.io.NiftiMRSReader`.
        metabolites: names in the nucleus's table; the first is the reference.
        t2_star: relaxation times (s) by metabolite that replace those of the table.
        delay: time (s) from excitation to the first sample; None: the file's.
        sign: of the FIDs: "standard", NIfTI-MRS's; "conjugate", the other; "auto": that which the FIDs say.
        max_shift: largest frequency shift (ppm) that the fit looks for; below half the distance of two lines.
        fit_t2_star: whether to fit the relaxation times of all but the first metabolite to the whole file.
        mask: key of the optional mask (1, X, Y, Z) of the voxels to fit.
        mri: key of the optional MRI (1, X, Y, Z) on its own grid.

    Output:
        the key holds the estimator's input (2, 1 + K + V D, T), "voxels" the mask (X, Y, Z) of the V voxels to fit, and
        "dynamics" the number D of time points. "t2_star" and "t2_star_sd" are the relaxation times (s) and their
        standard deviations, "t2_star_given" says which of them the user gave. "sign" is
        a :class:`mrsikit.fitting.sign_test.SignTest` as JSON text, because collation would change an object. With
        an MRI, "mri" holds it on the grid of the FIDs, 0 to 1, and "covered" (X, Y, Z) says where it covers them.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        metabolites: Sequence[str],
        t2_star: Mapping[str, float] | None = None,
        delay: float | None = None,
        sign: Sign = "standard",
        max_shift: float = 0.4,
        fit_t2_star: bool | str = False,
        mask: str = "mask",
        mri: str = "mri",
    ) -> None:
        super().__init__(keys)
        self.metabolites = tuple(metabolites)
        self.t2_star = dict(t2_star or {})
        self.delay = delay
        self.sign = sign
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
            fids = convert_to_tensor(out[key])[0]
            meta = dict(out[key].meta)
            grid = fids.shape[:AXES]
            meta[EXTENSION] = json.dumps(without_single_axes(json.loads(meta[EXTENSION]), fids.shape[AXES + 1 :]))
            voxels = (fids != 0).flatten(AXES).any(-1)
            companions_to_map_grid(out, grid, torch.as_tensor(meta["affine"]), majority={self.mask: True})
            if self.mask in out:
                # a FID of zeros was not measured, even where the mask is set
                voxels &= convert_to_tensor(out[self.mask]).reshape(grid) > 0
            places = voxels.nonzero()
            fids = fids.flatten(AXES + 1) if fids.ndim > AXES + 1 else fids[..., None]
            out["sampled"] = _sampled(fids[..., 0], voxels)
            some = fids[tuple(places[:: max(1, len(places) // SOME)].T)]
            acquired = spectra.acquired_points(some.transpose(1, 2)) if len(places) else fids.shape[AXES]
            model = fid_model(meta, acquired, metabolites=self.metabolites, t2_star=self.t2_star, delay=self.delay)
            unit = self.max_shift * model.larmor
            rows = _rows(acquisition_rows(model, unit), fids, places)
            sign = self._sign(rows, meta)
            if sign.finding == "conjugate":
                rows[1, 1 + len(self.metabolites) :] *= -1
            out["sign"] = json.dumps(asdict(sign))
            spread = [0.0] * len(self.metabolites)
            if self.fit_t2_star and len(places):
                network = FidLeastSquares(peaks=len(self.metabolites))
                times, spread = fit_t2_star(rows, list(model.t2_star), unit, network=network)
                model = replace(model, t2_star=times)
                rows[:, : 1 + len(times)] = real_and_imaginary(acquisition_rows(model, unit))
            out["t2_star_given"] = torch.tensor([name in self.t2_star for name in self.metabolites])
            out["t2_star"], out["t2_star_sd"] = torch.tensor(model.t2_star), torch.tensor(spread)
            out[key] = MetaTensor(rows, meta=meta)
            out["voxels"] = voxels
            out["dynamics"] = fids.shape[-1]
            if self.mri in out:
                out["mri"], out["covered"] = on_grid(out[self.mri], grid, torch.as_tensor(meta["affine"]), voxels)
        return out

    def _sign(self, rows: Tensor, meta: Mapping[str, Any]) -> SignTest:
        """Tell the sign of the FIDs behind the rows that describe their acquisition, unless the user gives it."""
        if self.sign != "auto":
            return SignTest(finding=self.sign, given=True)
        # a line that is not asked for is in the FIDs all the same
        lines = list(dict.fromkeys((*self.metabolites, *METABOLITES)))
        model = fid_model(meta, rows.shape[2], metabolites=lines, t2_star=self.t2_star, delay=self.delay)
        return find_sign(strongest_fids(rows, 1 + len(self.metabolites)), model, max_shift=self.max_shift)


def _sampled(fids: Tensor, voxels: Tensor) -> list[int]:
    """Find the matrix that FIDs (X, Y, Z, T) of some voxels (X, Y, Z) were measured with, 0 for axes that have it.

    A few points of the first half of the FIDs serve as maps, see :func:`sampled_matrix`.
    """
    points = torch.linspace(0, fids.shape[AXES] // 2, FEW_POINTS).long()
    return sampled_matrix((fids[..., points].movedim(-1, 0) * voxels).numpy(), support=0.0)


def _rows(head: Tensor, fids: Tensor, places: Tensor) -> Tensor:
    """Lay out the estimator's input (2, 1 + K + V D, T), the time points of a voxel together.

    Args:
        head: (1 + K, T), the rows that describe the acquisition.
        fids: (X, Y, Z, T or more, D).
        places: (V, 3), the voxels to fit.
    """
    points, dynamics = head.shape[1], fids.shape[-1]
    rows = torch.empty(2, len(head) + len(places) * dynamics, points)
    rows[:, : len(head)] = real_and_imaginary(head)
    for start in range(0, len(places), CHUNK):
        some = fids[tuple(places[start : start + CHUNK].T)][:, :points].transpose(1, 2).flatten(0, 1)
        first = len(head) + start * dynamics
        rows[:, first : first + len(some)] = real_and_imaginary(some)
    return rows


def on_grid(mri: MetaTensor, grid: Sequence[int], affine: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Bring an MRI to the grid of the FIDs: average it over each voxel, mask it and scale it to 0 to 1.

    The brightest hundredth of the voxels is set to 1. Otherwise one bright vessel would flatten every other edge.

    Args:
        mri: (1, X', Y'[, Z']) with its affine.
        grid: (X, Y, Z) of the FIDs.
        affine: of the FIDs, voxel to mm.
        mask: (X, Y, Z), the voxels to fit.

    Returns:
        (X, Y, Z) float32, the image; (X, Y, Z) bool, where it covers at least half of a voxel.
    """
    mean, share = image_on_grid(mri, grid, affine, points=(FINER,) * AXES)
    covered = share >= 0.5
    level = torch.where(covered, mean, torch.zeros_like(mean)) * mask
    inside = level[mask & covered]
    top = torch.quantile(inside, 0.99) if inside.numel() else level.new_tensor(1.0)
    return (level / top.clamp(min=1e-12)).clamp(max=1.0), covered
