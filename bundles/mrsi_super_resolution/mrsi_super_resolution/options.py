"""Options of a run, which ``mrsi_gan_super_resolution`` extends, and those of the published network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from mrsikit.runtime.options import WHOLE, Flag, option
from mrsikit.super_resolution.options import SuperResolutionOptions

__all__ = ["HfabOptions", "SuperResolutionOptions"]

Blocks = Literal[2, 4, 6, 8, 10, 12]
"""Numbers of HFABs that a network may have."""


class HfabOptions(SuperResolutionOptions):
    """Options of the published network (``reference_hfab.json``)."""

    reference: Literal["hfab"] = option("hfab", "the published method", use="files")
    rate: Literal["printed", "high"] = option(
        "high",
        "learning rate of the training: `high`, .001, whose shipped weights surpass a spline; `printed`, the paper's "
        "1e-5, whose shipped weights saw a small share of the schedule: by PSNR, SSIM and RMSE they trail a spline",
    )
    gated: Flag = option(True, "`false`: the network without GDFN")
    blocks: Annotated[Blocks, WHOLE] = option(
        8, "number of HFABs; the paper has 8, and only its weights are shipped: train others by `train_hfab.json`"
    )
    factor: Annotated[Literal[4], WHOLE] = option(4, "fine voxels per coarse voxel along each axis in plane")
    psf: Literal["block"] = option("block", "point spread function of the coarse map: the mean over each voxel")
    check: Flag = option(False, "the published network makes maps four times finer alone: it is not tried on the map")

    @field_validator("check")
    @classmethod
    def _tried_at_no_other_factor(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "--check true: the check makes a map two times finer, and the published network knows factor 4 alone; "
                "leave --check out"
            )
        return value
