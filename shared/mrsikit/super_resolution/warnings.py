"""Warnings about a super-resolved file: one rule per warning, applied in the order of :data:`RULES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.resampling import resampling_warnings, upright_axis
from mrsikit.restoration.sampled_matrix import interpolated_in_words
from mrsikit.runtime.map_checks import FAILED_FIT
from mrsikit.super_resolution.mri_alignment import COVERED, ELSEWHERE
from mrsikit.super_resolution.options import FEWEST_SLICES
from mrsikit.super_resolution.preprocessing import without_position
from mrsikit.super_resolution.rigid_check import move_in_words
from mrsikit.super_resolution.scale_check import METHODS, REASONS, WEIGHT, WITH_MRI
from mrsikit.super_resolution.scalp import RING

NEARLY_CUBIC = 1.3
"""A voxel is nearly cubic if its depth is below 1.3 x its longest in-plane side."""

NOISES, LEAST_FLOOR, UNKNOWN_FLOOR = 5.0, 0.05, 0.1
"""Values below minus 5 standard deviations of the noise, and below minus 5 % of the maximum, are not noise. If the
noise is unknown, values below minus 10 % of the maximum are not noise."""

LOUD = 0.1
"""The network was trained on noise up to this share of the map's maximum."""

OVERSHOOT, UNDERSHOOT = 2.0, -0.3
"""Outputs above 2 x or below -0.3 x the measured maximum are implausible."""

LEAST_SHARE = 0.3
"""A share of the result below 30 % says that the MRI hardly counts."""

MATRIX = (16, 64)
"""Smallest and largest coarse matrix that was tested."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file after super-resolution.

    Attributes:
        data: entries that :class:`mrsikit.super_resolution.preprocessing.PreprocessCoarseMapd` adds, and "sr".
        maps: coarse maps (M, X, Y[, Z]).
        checks: (M, 3, 5) checks of the maps, see :mod:`mrsikit.super_resolution.scale_check`.
        noise: (M,), standard deviation of each map's noise over its maximum, NaN where unknown; None: unknown for all.
        given_noise: the option ``noise``, one number or one per map; empty if not given.
        ratio: whether the map is a ratio.
        denoised: whether the user asked to denoise the map first.
        consistency: whether the maps follow the measurement where its noise is known.
        encoding: encoding of the map, in plane.
        dims: number of super-resolved axes; None if the bundle offers no choice.
    """

    data: Mapping[Any, Any]
    maps: Tensor
    checks: Tensor
    noise: Tensor | None
    given_noise: Sequence[float]
    ratio: bool
    denoised: bool
    consistency: bool
    encoding: SpatialEncoding
    dims: int | None

    @property
    def affine(self) -> Tensor:
        """Affine (4, 4) of the coarse map, voxel to mm."""
        return self.data["map"].affine if isinstance(self.data["map"], MetaTensor) else torch.eye(4)

    @property
    def slice_axis(self) -> int:
        """Slice axis; the third for a single slice."""
        return self.data["slice_axis"] if self.maps.ndim == 4 and self.maps.shape[3] > 1 else 2

    @property
    def covered(self) -> Mapping[str, float]:
        """Share of the tissue that each MRI covers."""
        return self.data.get("covered") or {}


def unused_noise(case: Case) -> Iterator[str]:
    """The option ``noise`` was given but is not used."""
    if not case.given_noise:
        return
    if case.ratio:
        yield "--noise is not used: the noise of a ratio is no one number"
    elif case.data["noise_from"] == "unknown":
        yield f"--noise gives {len(case.given_noise)} values, the file has {len(case.maps)} maps: not used"
    elif case.data["noise_from"] != "--noise":
        yield "--noise is not used: the file has Cramér-Rao bounds"


def unknown_noise(case: Case) -> Iterator[str]:
    """Without a known noise there is no data consistency."""
    if not case.consistency:
        yield "the result need not agree with the measured map: this method has no data consistency, and knows no noise"
    elif case.noise is None and not case.ratio:
        yield (
            "the noise is not known, so the result need not agree with the measured map: give --noise or "
            "<stem>_crlb.nii.gz"
        )


def no_standard_deviation(case: Case) -> Iterator[str]:
    """The method states no standard deviation."""
    if convert_to_tensor(case.data["uncertainty"]).isnan().all():
        yield "this method states no standard deviation: the uncertainty holds no number"


def not_denoised(case: Case) -> Iterator[str]:
    """Denoising requires a known noise."""
    if case.denoised and (case.noise is None or case.noise.isnan().any()):
        yield "--denoised: maps whose noise is not known were not denoised"


def interpolated_map(case: Case) -> Iterator[str]:
    """The outer k-space of the map is empty."""
    if any(case.data["sampled"]):
        yield (
            f"{interpolated_in_words(case.data['sampled'], case.maps.shape[1:])}: no standard deviation is given, as "
            "detail and noise are not those of measured voxels; give the map on the matrix that was measured"
        )


def untried_matrix(case: Case) -> Iterator[str]:
    """The coarse matrix is outside the tested range."""
    low, high = MATRIX
    flat = case.maps.ndim == 3
    plane = [n for axis, n in enumerate(case.maps.shape[1:]) if axis != case.data["slice_axis"] or flat]
    if min(plane) < low or max(plane) > high:
        yield f"matrix {tuple(plane)} outside the {low} to {high} a side that were tried"


def imputed_voxels(case: Case) -> Iterator[str]:
    """Some voxels of the head were not measured."""
    if case.data["lost"]:
        yield (
            f"{case.data['lost']} voxels of the head hold no number or a failed fit (bound of {FAILED_FIT:g} % or "
            "more): they took their neighbours' value, but for fits at the rim or of next to no signal, which may be "
            "fluid, and the spread of the tissue as deviation; mrsi_inpainting fills them better"
        )


def three_dimensional_encoding(case: Case) -> Iterator[str]:
    """The volume looks as if k-space was sampled in three dimensions."""
    if case.dims == 2 and case.encoding.in_kspace and _is_cubic(case.affine, case.slice_axis, case.maps.shape[1:]):
        yield (
            "the voxels are about as deep as wide: if k-space was sampled in three dimensions, --dims 3 makes the map "
            "finer across the slices too"
        )


def slices_not_axial(case: Case) -> Iterator[str]:
    """The network was trained on axial slices."""
    if upright_axis(case.affine) != case.slice_axis:
        yield "slices are not axial; the network was trained on axial ones"


def unknown_position(case: Case) -> Iterator[str]:
    """A header does not say where the map or an MRI lies."""
    no_position = without_position(case.data["map"])
    if case.covered and (no_position or torch.equal(case.affine.cpu().double(), torch.eye(4).double())):
        yield "the map's header gives no position: where the MRI lies on it is a guess"
    if case.data["unplaced"]:
        yield f"the header of {case.data['unplaced']} gives no position: where it lies on the map is a guess"


def empty_slices(case: Case) -> Iterator[str]:
    """A slice has no measured voxel."""
    for m, z in torch.nonzero(convert_to_tensor(case.data["unmeasured"])).tolist():
        yield f"metabolite {m + 1}, slice {z + 1}: no voxel was measured, none is given"


def bounds_without_numbers(case: Case) -> Iterator[str]:
    """The noise of at least one map is unknown."""
    if case.noise is not None and case.noise.isnan().any():
        yield "the bounds of a metabolite hold no number in its tissue: its noise is not known"


def negative_values(case: Case) -> Iterator[str]:
    """The map has negative values that noise does not explain."""
    if case.noise is None:
        floor = torch.tensor(UNKNOWN_FLOOR)
    else:
        floor = (NOISES * case.noise).nan_to_num(UNKNOWN_FLOOR).clamp(min=LEAST_FLOOR)
    floor = floor + case.encoding.ringing
    lowest = convert_to_tensor(case.data["lowest"]).cpu()
    if (lowest < -floor).any():
        known = case.noise is not None
        beyond = "beyond its noise" if known else f"down to {-float(lowest.min()):.0%} of its maximum"
        yield f"the map has negative values {beyond}, which no network was trained on"


def loud_noise(case: Case) -> Iterator[str]:
    """The noise exceeds what the network was trained on."""
    loudest = 0.0 if case.noise is None else float(case.noise.nan_to_num(0.0).max())
    if loudest > LOUD and case.consistency:  # else the method takes no noise, see unknown_noise
        yield f"the noise is {loudest:.1%} of the maximum; the network was trained on up to {LOUD:.0%}"


def implausible_values(case: Case) -> Iterator[str]:
    """The result reaches far beyond the measured values."""
    tops = convert_to_tensor(case.data["scale"]).cpu().amax(1)
    fine_maps = convert_to_tensor(case.data["sr"]).nan_to_num(0.0)
    for m, (fine, top) in enumerate(zip(fine_maps, tops, strict=True)):
        if fine.max() > OVERSHOOT * top or fine.min() < UNDERSHOOT * top:
            yield (
                f"metabolite {m + 1}: the result reaches from {float(fine.min()):.3g} to {float(fine.max()):.3g}, "
                "far beyond the measured values: is the point-spread function (--psf) right?"
            )


def misplaced_mri(case: Case) -> Iterator[str]:
    """An MRI does not cover the map's tissue, or lies elsewhere."""
    for name, share in case.covered.items():
        shift, outside, move = (case.data[key][name] for key in ("shifted", "outside_brain", "move"))
        if share < COVERED:
            yield f"the {name} covers {share:.0%} of the tissue; the rest was super-resolved without it"
        elif outside > ELSEWHERE:
            yield (f"{outside:.0%} of the tissue lies outside the brain that the {name} shows: check its registration")
        if any(move):
            yield f"the {name} would fit the map better {move_in_words(move)}: check its registration"
        elif share >= COVERED and outside <= ELSEWHERE and any(shift):
            moved = ", ".join(f"{round(way):+d}" for way in shift)
            yield f"the {name} would fit the map better moved by {moved} mm (right, front, up): check its registration"


def scalp_left_on(case: Case) -> Iterator[str]:
    """An MRI shows the scalp; the network was trained on skull-stripped images."""
    for name in case.covered:
        if case.data["scalp"][name] >= RING:
            yield (
                f"the {name} has a bright ring outside the map's outline, as a scalp has: the network was trained on "
                "skull-stripped MRIs and the error can double; strip the skull (where it lies was not fully checked)"
            )


def no_check(case: Case) -> Iterator[str]:
    """A map could not be checked on itself, though its noise is known."""
    for number, check in enumerate(case.checks, start=1):
        reason = REASONS.get(int(check[WEIGHT, -1].nan_to_num()))
        if reason:
            yield f"no check on {_which(number, case)}: {reason}"


def unhelpful_mri(case: Case) -> Iterator[str]:
    """By the check, the MRIs do not help on a map."""
    for number, check in enumerate(case.checks, start=1):
        share = float(check[WEIGHT, METHODS.index(WITH_MRI)].nan_to_num(1.0))
        if share < LEAST_SHARE:
            yield (
                f"by the check on {_which(number, case)}, the MRI counts for {share:.0%} of the result: it fits the "
                "map badly, or the map has little that an MRI shows"
            )


def _which(number: int, case: Case) -> str:
    return f"map {number}" if len(case.checks) > 1 else "this map"


def resampled_companions(case: Case) -> Iterator[str]:
    """Bounds came on another grid."""
    yield from resampling_warnings(case.data)


RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    unused_noise,
    unknown_noise,
    no_standard_deviation,
    not_denoised,
    interpolated_map,
    untried_matrix,
    imputed_voxels,
    three_dimensional_encoding,
    slices_not_axial,
    unknown_position,
    empty_slices,
    bounds_without_numbers,
    negative_values,
    loud_noise,
    implausible_values,
    misplaced_mri,
    scalp_left_on,
    no_check,
    unhelpful_mri,
    resampled_companions,
)


def warnings_of(case: Case) -> list[str]:
    """Apply every rule to one file.

    Returns:
        The warnings, one line each.
    """
    return [warning for rule in RULES for warning in rule(case)]


def _is_cubic(affine: Tensor, across: int, shape: Sequence[int]) -> bool:
    """Return whether a volume's voxels are about as deep, along the axis ``across``, as they are wide."""
    sides = torch.linalg.vector_norm(affine[:3, :3].double(), dim=0)
    wide = torch.cat([sides[:across], sides[across + 1 :]]).max()
    return len(shape) == 3 and shape[across] >= FEWEST_SLICES and float(sides[across]) < NEARLY_CUBIC * float(wide)
