"""Options that both super-resolution bundles share, and the parsing of metabolite ratios.

What ``psf`` stands for is computed in :mod:`mrsikit.physics.spatial_encoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationInfo, field_validator

from mrsikit.io import InputError
from mrsikit.runtime.options import WHOLE, Flag, RunOptions, Text, option

FEWEST_SLICES = 8
"""A volume of fewer than 8 slices was not encoded in three dimensions."""

NAMED_RATIOS = {"HGG": ("(2HG+Gln)/Glu",), "TCN": ("tCho/tNAA", "tCho/NAA")}
"""Named glioma ratios (Li et al.), each with the formulas it may stand for, depending on the names of the maps."""

Ratio = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Name of a ratio, and the 0-based metabolite indices of the maps summed in its numerator and its denominator."""


def ratio_pairs(ratios: object, metabolites: object = None) -> list[Ratio]:
    """Parse ratios of maps, or of sums of maps, into indices on the metabolite axis.

    Args:
        ratios: "tCho/NAA", "3/1", "(2HG+Gln)/Glu", one of :data:`NAMED_RATIOS`, or several of these in a list or
            separated by commas; None: no ratio. Numbers count the maps from 1.
        metabolites: names of the maps on the last axis, in order, in a list or separated by commas. Without names, only
            numbers can be used. A name may contain a plus.

    Returns:
        One :data:`Ratio` for each ratio.

    Raises:
        InputError: a ratio uses an unknown map or divides a map by itself, or a name occurs twice.

    Example:
        >>> ratio_pairs("tCho/NAA", "NAA,tCr,tCho")
        [('tCho/NAA', (2,), (0,))]
    """
    names = names_of(metabolites)
    out = []
    for ratio in _listed(ratios):
        sides = [_places(side.strip(), names, ratio) for side in _written_out(ratio, names).split("/")]
        if len(sides) != 2 or sides[0] == sides[1]:
            raise InputError(f"--ratios {ratio}: a ratio is of two maps, as in tCho/NAA, 3/1 or (2HG+Gln)/Glu")
        out.append((ratio, sides[0], sides[1]))
    return out


def _written_out(ratio: str, names: list[str]) -> str:
    """Replace a named ratio by the first of its formulas whose maps all exist."""
    forms = NAMED_RATIOS.get(ratio, (ratio,))
    parts = [form.replace("(", "").replace(")", "").replace("+", "/").split("/") for form in forms]
    return next((form for form, maps in zip(forms, parts, strict=True) if set(maps) <= set(names)), forms[0])


def _places(side: str, names: list[str], ratio: str) -> tuple[int, ...]:
    """Return the 0-based indices of the maps that one side of a ratio sums."""
    if side in names:
        return (names.index(side),)
    places = []
    for part in side.removeprefix("(").removesuffix(")").split("+"):
        name = part.strip()
        if name in names:
            places.append(names.index(name))
        elif name.isdecimal() and int(name) > 0:
            places.append(int(name) - 1)
        else:
            known = f"the names are {', '.join(names)}" if names else "name the maps with --metabolites, in order"
            raise InputError(f"--ratios {ratio}: {name!r} is no map of the file; {known}")
    return tuple(sorted(places))


def noise_levels(noise: object) -> list[float]:
    """Parse the standard deviation of the noise, in the map's unit, from a number, a list or text such as "0.3,0.2".

    Returns:
        One value for all maps or one for each map; an empty list for None.

    Raises:
        InputError: a value is not a finite number above zero.
    """
    out = []
    for part in _listed(noise):
        try:
            level = float(part)
        except ValueError:
            level = float("nan")
        if not 0 < level < float("inf"):
            raise InputError(
                f"--noise {noise}: {part!r} is no number above zero; give the standard deviation of the noise in the "
                "map's unit, or one for each metabolite, as in 0.3,0.2"
            )
        out.append(level)
    return out


def names_of(metabolites: object) -> list[str]:
    """Parse the names of the maps on the last axis, in order, from a list or from text separated by commas.

    Raises:
        InputError: a name occurs twice.
    """
    names = _listed(metabolites)
    if len(set(names)) < len(names):
        raise InputError(f"--metabolites {','.join(names)}: a name stands twice")
    return names


def _listed(given: object) -> list[str]:
    if given is None:
        return []
    parts = given.split(",") if isinstance(given, str) else given if isinstance(given, Sequence) else [given]
    return [str(part).strip() for part in parts]


def _noise(value: object) -> object:
    noise_levels(value)
    return value


def _names(value: object) -> object:
    names_of(value)
    return value


class SuperResolutionOptions(RunOptions):
    """Options of ``mrsi_super_resolution``; ``mrsi_gan_super_resolution`` adds some, and has its own ``psf``."""

    factor: Annotated[Literal[2, 3, 4], WHOLE] = option(4, "fine voxels per coarse voxel along each axis in plane")
    psf: Literal["block", "kspace", "hamming"] = option(
        "block",
        "point spread function of the coarse map: `block`, the mean over each voxel; `kspace`, sampled k-space, as "
        "most MRSI is; `hamming`, k-space after a Hamming filter. The wrong one costs more than it looks: give your "
        "scanner's",
    )
    noise: Annotated[Any, AfterValidator(_noise)] = option(
        None,
        "standard deviation of the map's noise in its unit, where there are no bounds; for several metabolites also "
        "one each: `0.3,0.3,0.06`",
    )
    ratio: Flag = option(
        False,
        "`true`: the map is itself a ratio; data consistency is then off, for a ratio of means is no mean of ratios",
    )
    check: Flag = option(
        True,
        "try network, total variation and interpolation on the map itself, made coarser once more, and weigh them by "
        "their errors there; it needs a known noise and 20 voxels along each axis. `false`: the network alone",
        example=False,
    )
    metabolites: Annotated[Any, AfterValidator(_names)] = option(
        None, "names of the maps on the last axis, in order: `NAA,tCr,tCho`"
    )
    ratios: Any = option(
        None,
        "ratios to make of the super-resolved maps, by name or counted from 1: `tCho/NAA`, `3/1,2/1` or, of sums, "
        "`(2HG+Gln)/Glu`; `HGG` and `TCN` are known by name",
    )
    unit: Text = option("map units", "unit of the maps, which the report shows", use="run")

    @field_validator("ratios")
    @classmethod
    def _ratios_are_of_named_maps(cls, value: object, info: ValidationInfo) -> object:
        if "metabolites" in info.data:  # otherwise the names are invalid, which pydantic reports separately
            ratio_pairs(value, info.data["metabolites"])
        return value
