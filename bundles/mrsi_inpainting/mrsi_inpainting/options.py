"""Options of a run. Names and defaults also stand at the top of ``configs/inference.json``, where MONAI needs them."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mrsikit.runtime.options import Flag, OptionalFlag, RunOptions, Text, option


class InpaintingOptions(RunOptions):
    """Options of ``mrsi_inpainting``."""

    max_crlb: float | None = option(
        20, "a fit with a larger Cramér-Rao bound is missing", unit="percent", gt=0, example=20
    )
    rule: Literal["percent", "absolute"] = option(
        "absolute",
        "`absolute`: a fit is missing if its bound exceeds `max_crlb` percent of its value and of the map's median, so "
        "that a sound fit of a low signal is kept; `percent`: of its value alone; a bound of 999 % is always missing",
        example="percent",
    )
    max_fwhm: float | None = option(
        0.1,
        "a fit with a broader line is missing, where linewidths lie beside the maps (`_fwhm`, in ppm; for those in Hz "
        "give the limit in Hz)",
        unit="the unit of the linewidths",
        gt=0,
        example=0.1,
    )
    check: Flag = option(
        True,
        "hide known voxels to see what fills this map best and how far off it is; `false`: the mean of kriging and "
        "network, of each map by itself, not checked",
        example=False,
    )
    session: Flag = option(
        True,
        "use the other maps of the session and its MRIs where they help, by the check; `false`: each map by itself",
        use="files",
        example=False,
    )
    threshold: float = option(
        0.4,
        "probability from which a zero is judged missing; a higher one fills fewer ventricles and finds fewer missing "
        "voxels",
        gt=0,
        le=1,
        example=0.9,
    )
    wrong_threshold: float = option(
        1.0,
        "probability from which a value that is not zero is judged wrong and filled over; 1: never. Try 0.9, and look "
        "at what it took: it can take a small bright focus for an artefact",
        gt=0,
        le=1,
        example=0.9,
    )
    volumetric: OptionalFlag = option(
        None,
        "`true`: all three axes together; `false`: slice by slice. By default volumes of at least 8 slices and nearly "
        "cubic voxels are taken together",
        shown="by the voxels",
    )
    unit: Text = option("map units", "unit of the maps, which the report shows", use="run")


class PhamOptions(InpaintingOptions):
    """Options of the published network (``reference_pham.json``). What it does not have is off."""

    check: Flag = option(False, "the published method has no check: `false`")
    session: Flag = option(False, "the published method takes each map by itself: `false`", use="files")
    volumetric: OptionalFlag = option(
        False, "`true`: the 3D network, whose weights you must train yourself (`train_pham.json --spatial_dims 3`)"
    )
    reference: Literal["pham"] = option("pham", "the published method", use="files")
    training: Literal["progressive", "direct"] = option(
        "progressive",
        "`progressive`: the network trained with 5, 10, then 15 % of the voxels missing; `direct`: with 15 % from the "
        "start",
    )

    @model_validator(mode="after")
    def _nothing_unpublished(self) -> PhamOptions:
        given = [name for name in ("check", "session") if getattr(self, name)]
        if given:
            raise ValueError("\n".join(f"--{name} true: the published method has none; leave it out" for name in given))
        return self
