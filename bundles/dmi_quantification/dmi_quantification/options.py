"""Options of a run. Names and defaults also stand at the top of ``configs/inference.json``, where MONAI needs them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo, field_validator

from mrsikit.physics.nuclei import NUCLEI, Resonance, nearest_lines
from mrsikit.runtime.options import LONGEST_DELAY, Flag, OptionalFlag, RunOptions, Sign, option

METABOLITES = ("water", "Glc", "Glx", "Lac")
"""What labelled glucose becomes in the brain, and water."""

LONGEST_T2_STAR = 2.0
"""Seconds; a longer relaxation time is in another unit."""


def output_names(metabolites: Sequence[str], *, prior: bool = False) -> list[str]:
    """Name the outputs of a file, without its stem.

    Args:
        metabolites: names; the first is the reference.
        prior: name what only some runs write, the fitted FIDs and the bias of a prior, instead of what all runs write.
    """
    others = list(metabolites)[1:]
    if prior:
        return ["fit", f"{metabolites[0]}_amplitude_bias", *(f"{name}_bias" for name in others)]
    amplitudes = [f"{name}_amplitude{what}" for name in metabolites for what in ("", "_sd")]
    ratios = [f"{name}{what}" for name in others for what in ("", "_sd")]
    return [*amplitudes, *ratios, "shift", "linewidth", "quality"]


def _table(value: object, info: ValidationInfo) -> object:
    """Refuse what is no table of numbers by metabolite."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        example = (*(info.data.get("metabolites") or ()), METABOLITES[-1])[0]
        raise ValueError(f"--{info.field_name} {value}: is no table; give for example \"{{'{example}':0.05}}\"")
    return value


Table = Annotated[Any, BeforeValidator(_table)]


class QuantificationOptions(RunOptions):
    """Options of ``dmi_quantification``.

    The context of the check is ``{"nucleus": "2H"}``, the nucleus whose table must hold the metabolites.
    """

    metabolites: Any = option(
        list(METABOLITES),
        "names in `mrsikit.physics.nuclei`; the first is the reference",
        shown="`['water','Glc','Glx','Lac']`",
        validate_default=True,
    )
    t2_star: Table = option({}, "relaxation times in s, for example `\"{'Glx':0.05}\"`", shown="from the table")
    fit_t2_star: Flag = option(False, "`true`: fit the relaxation times of all but the first to the whole file")
    delay: float | None = option(
        None,
        "time from excitation to the first sample",
        unit="seconds",
        ge=0,
        lt=LONGEST_DELAY,
        example=0.0006,
        shown="from the header",
    )
    sign: Sign = option(
        "auto",
        "`standard`: the FIDs have NIfTI-MRS's sign; `conjugate`: the other; `auto`: conjugated where they say "
        "so beyond doubt",
    )
    max_shift: float = option(
        0.4,
        "largest frequency shift sought; under half the distance of two lines",
        unit="ppm",
        gt=0,
        validate_default=True,
    )
    water_mM: float | None = option(  # noqa: N815 (the unit)
        None, "concentration of deuterated water; results are then in mM", unit="mM", gt=0, example=10
    )
    factors: Table = option(
        {},
        "by metabolite, the factor of its ratio for saturation and labelled nuclei, for example `\"{'Glc':0.5}\"`",
        shown="`{}`",
    )
    prior_strength: float = option(1.0, "strength of the MRI prior, in units of the noise; 0: none", ge=0)
    save_fit: OptionalFlag = option(
        None, "whether the fitted FIDs are written", shown="if under half a gigabyte", use="call"
    )

    @field_validator("metabolites")
    @classmethod
    def _metabolites_are_in_the_table(cls, value: object, info: ValidationInfo) -> object:
        lines = _lines(info)
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise ValueError(f"--metabolites {value}: is no list; give for example \"['water','Glc']\"")
        if unknown := [name for name in value if name not in lines]:
            nucleus = (info.context or {}).get("nucleus", "2H")
            raise ValueError(
                f"--metabolites {', '.join(map(str, unknown))}: is not in the table of {nucleus}; it holds "
                f"{', '.join(lines)}"
            )
        if len(set(value)) < len(value):
            raise ValueError(f"--metabolites {list(value)}: names one twice")
        return value

    @field_validator("t2_star", "factors")
    @classmethod
    def _numbers_are_of_metabolites(cls, value: Mapping[str, object], info: ValidationInfo) -> object:
        metabolites = info.data.get("metabolites")
        if metabolites is None:  # a problem of its own
            return value
        high, unit = (LONGEST_T2_STAR, " of seconds") if info.field_name == "t2_star" else (math.inf, "")
        problems = []
        for name, number in value.items():
            if name not in metabolites:
                problems.append(f"--{info.field_name} {name}: is none of the metabolites {', '.join(metabolites)}")
            elif isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < high:
                problems.append(f"--{info.field_name} {name} {number}: is no number{unit} above 0 and below {high:g}")
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @field_validator("max_shift")
    @classmethod
    def _no_line_is_taken_for_another(cls, value: float, info: ValidationInfo) -> float:
        metabolites = info.data.get("metabolites")
        limit = nearest_lines([_lines(info)[name].ppm for name in metabolites]) / 2 if metabolites else math.inf
        if value >= limit:
            raise ValueError(
                f"--max_shift {value:g}: is no number above 0 and below {limit:g}, in ppm, half the distance of two "
                "lines"
            )
        return value

    @field_validator("water_mM")
    @classmethod
    def _water_is_the_reference(cls, value: float | None, info: ValidationInfo) -> float | None:
        metabolites = info.data.get("metabolites")
        if value is not None and metabolites and metabolites[0] != "water":
            raise ValueError(f"--water_mM {value:g}: the first metabolite is {metabolites[0]}, not water")
        return value

    @property
    def outputs(self) -> list[str]:
        """Suffixes of the maps that every input gets."""
        return output_names(self._listed)

    @property
    def optional_outputs(self) -> list[str]:
        """Suffixes of what only some inputs get."""
        return output_names(self._listed, prior=True)

    @property
    def _listed(self) -> Sequence[str]:
        """The metabolites, or the usual ones where the option is wrong."""
        listed = isinstance(self.metabolites, list | tuple) and len(self.metabolites) > 0
        return self.metabolites if listed else METABOLITES


def _lines(info: ValidationInfo) -> Mapping[str, Resonance]:
    """The resonances of the nucleus."""
    nucleus = str((info.context or {}).get("nucleus", "2H"))
    known = NUCLEI[nucleus].resonances if nucleus in NUCLEI else {}
    if not known:
        raise ValueError(f"nucleus {nucleus}: has no metabolites here; give 2H data")
    return known


class PreciseDmiOptions(QuantificationOptions):
    """Options of the published method (``reference_precise_dmi.json``)."""

    reference: Literal["precise_dmi"] = option("precise_dmi", "the published method", use="files")
    strength: float = option(
        0.01, "lambda, the strength of the smoothing along the MRI; the paper uses .004, .01 and .04", ge=0
    )
    repeats: int = option(10, "repetitions of the Monte Carlo of the standard deviation", ge=2)
    batch: Literal["neighbourhood", "pairs"] = option(
        "neighbourhood",
        "voxels of a training step: one and its neighbours, as the paper has it, or many pairs of the whole file",
    )
    epochs: int = option(3, "with `neighbourhood`: times that every voxel is the centre of a step", ge=1)
