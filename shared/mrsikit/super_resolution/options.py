"""What can be wrong with the options of a run, and the ratios it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from mrsikit.io import InputError
from mrsikit.physics.spatial_encoding import PSF_CODES

FACTORS = (2, 3, 4)

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


def option_problems(
    *,
    factor: object = 4,
    psf: object = "block",
    noise: object = None,
    ratios: object = None,
    metabolites: object = None,
) -> list[str]:
    """Say what is wrong with the options of a run.

    Args:
        factor: one of :data:`FACTORS`.
        psf: one of :data:`mrsikit.physics.spatial_encoding.PSF_CODES`.
        noise: as of :func:`noise_levels`.
        ratios: as of :func:`ratio_pairs`.
        metabolites: likewise.

    Returns:
        A line a problem, with what would be right.
    """
    problems = []
    if type(factor) is not int or factor not in FACTORS:
        problems.append(f"--factor {factor}: is none of {', '.join(map(str, FACTORS))}")
    if not isinstance(psf, str) or psf not in PSF_CODES:
        problems.append(f"--psf {psf}: is none of {', '.join(PSF_CODES)}")
    for judged in (lambda: noise_levels(noise), lambda: ratio_pairs(ratios, metabolites)):
        try:
            judged()
        except InputError as error:
            problems.append(str(error))
    return problems
