"""What can be wrong with the options of a run."""

from __future__ import annotations

from typing import Any

from mrsikit.io import InputError
from mrsikit.runtime import as_flag
from mrsikit.super_resolution import options
from mrsikit.super_resolution.postprocessing import FEWEST_SLICES

METHODS = (None, 1, 2, 3)
GENERATORS, TRUTHS = ("unet", "gan"), ("sharp", "soft")
"""The published networks, and the ground truths they were trained on."""


def least_slices(dims: object) -> int:
    """Slices that a map must have to be sharpened along so many axes; 0: it may be flat."""
    return FEWEST_SLICES if dims == 3 else 0


def option_problems(
    *,
    factor: object = 4,
    psf: object = "kspace",
    noise: object = None,
    ratios: object = None,
    metabolites: object = None,
    method: object = None,
    dims: object = 2,
    denoised: object = False,
    consistency: object = True,
) -> list[str]:
    """Say what is wrong with the options of a run.

    Args:
        factor: as of :func:`mrsikit.super_resolution.options.option_problems`.
        psf: likewise.
        noise: likewise.
        ratios: likewise.
        metabolites: likewise.
        method: one of :data:`METHODS`.
        dims: 2 or 3.
        denoised: a yes or no.
        consistency: likewise.

    Returns:
        A line a problem, with what would be right.
    """
    problems = options.option_problems(factor=factor, psf=psf, noise=noise, ratios=ratios, metabolites=metabolites)
    if method not in METHODS or isinstance(method, bool):
        problems.append(f"--method {method}: is none of 1, 2, 3")
    if dims not in (2, 3) or isinstance(dims, bool):
        problems.append(f"--dims {dims}: is none of 2, 3")
    elif dims == 3 and psf == "hamming":
        problems.append("--psf hamming: is known for --dims 2 alone; give kspace, the same without the filter")
    for name, flag in (("denoised", denoised), ("consistency", consistency)):
        try:
            as_flag(flag, name)
        except InputError as error:
            problems.append(str(error))
    return problems


def reference_problems(*, generator: object, truth: object, **others: Any) -> list[str]:
    """Say what is wrong with the options of a run of the published networks.

    Args:
        generator: one of :data:`GENERATORS`.
        truth: one of :data:`TRUTHS`.
        others: as of :func:`option_problems`.

    Returns:
        A line a problem, with what would be right.
    """
    problems = option_problems(**others)
    for name, given, known in (("generator", generator, GENERATORS), ("truth", truth, TRUTHS)):
        if given not in known:
            problems.append(f"--{name} {given}: is none of {', '.join(known)}")
    return problems
