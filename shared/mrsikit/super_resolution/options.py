"""The options that both super-resolution bundles share, and the ratios of maps that a run is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ValidationInfo, field_validator

from mrsikit.io import InputError
from mrsikit.runtime.options import WHOLE, Flag, RunOptions, Text, option

NAMED_RATIOS = {"HGG": ("(2HG+Gln)/Glu",), "TCN": ("tCho/tNAA", "tCho/NAA")}
"""Ratios of gliomas by the names that Li and others give them, and how their maps may be named."""

Ratio = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Its name, and the places on the metabolite axis, from 0, of what is summed above and below."""


def ratio_pairs(ratios: object, metabolites: object = None) -> list[Ratio]:
    """Ratios of maps, or of sums of maps, by their places on the metabolite axis.

    Args:
        ratios: "tCho/NAA", "3/1", "(2HG+Gln)/Glu", one of :data:`NAMED_RATIOS`, or several, in a list or parted by
            commas; None: none.
        metabolites: names of the maps on the last axis, in order, likewise; without them maps are counted from 1. A
            name may itself hold a plus.

    Returns:
        One :data:`Ratio` each.

    Raises:
        InputError: a ratio is not of maps that are named or counted, or of a map to itself, or a name stands twice.

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
    """A named ratio by its maps: the first of its forms of which every map is there."""
    forms = NAMED_RATIOS.get(ratio, (ratio,))
    parts = [form.replace("(", "").replace(")", "").replace("+", "/").split("/") for form in forms]
    return next((form for form, maps in zip(forms, parts, strict=True) if set(maps) <= set(names)), forms[0])


def _places(side: str, names: list[str], ratio: str) -> tuple[int, ...]:
    """Places of the maps that one side of a ratio sums."""
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
    """Standard deviations of the noise: one of all maps, or one for each, from a number, a list or "0.3,0.2".

    Returns:
        Nothing for None.

    Raises:
        InputError: one is no finite number above zero.
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
    """Names of the maps on the last axis, in order, from a list or a line parted by commas.

    Raises:
        InputError: a name stands twice.
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
    """Options of ``mrsi_super_resolution``, which ``mrsi_gan_super_resolution`` has too."""

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
        if "metabolites" in info.data:  # else the names are wrong, which is a problem of its own
            ratio_pairs(value, info.data["metabolites"])
        return value
