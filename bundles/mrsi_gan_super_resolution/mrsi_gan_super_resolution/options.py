"""Options of a run. Names and defaults also stand at the top of ``configs/inference.json``, where MONAI needs them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from mrsikit.runtime.options import WHOLE, Flag, option
from mrsikit.super_resolution.options import FEWEST_SLICES, SuperResolutionOptions


class GanSuperResolutionOptions(SuperResolutionOptions):
    """Options of ``mrsi_gan_super_resolution``."""

    psf: Literal["block", "kspace", "hamming"] = option(
        "kspace",
        "point spread function of the coarse map: `kspace`, sampled k-space; `hamming`, k-space after a Hamming filter "
        "(2D alone); `block`, the mean over each voxel",
    )
    dims: Annotated[Literal[2, 3], WHOLE] = option(
        2, "3: k-space was sampled in three dimensions, and the map is made finer along all three axes"
    )
    method: Annotated[Literal[1, 2, 3] | None, WHOLE] = option(
        None,
        "the paper's DLmethod: 1, without the MRI; 2, non-local means along the MRI after the network; 3, the network "
        "takes the MRI. By default 2 where there is an MRI, else 1",
        shown="by the MRI",
    )
    denoised: Flag = option(
        False,
        "`true`: non-local means denoise the coarse map before the network, where the noise is known; data consistency "
        "still holds with the measured map",
    )
    consistency: Flag = option(
        True, "whether the result is kept to the measured map, as far as that stands out of a known noise"
    )
    guided_spread: float | None = option(
        0.82, "standard deviation after the non-local means of method 2 over that before them", gt=0
    )

    @model_validator(mode="after")
    def _hamming_in_plane(self) -> GanSuperResolutionOptions:
        if self.dims == 3 and self.psf == "hamming":
            raise ValueError("--psf hamming: is known for --dims 2 alone; give kspace, the same without the filter")
        return self

    @property
    def needed(self) -> list[str]:
        """Companion files of which every map needs at least one."""
        return ["flair", "t1"] if self.method in (2, 3) else []

    @property
    def least_slices(self) -> int:
        """Smallest number of slices that every map must have; 0: a single slice is allowed."""
        return FEWEST_SLICES if self.dims == 3 else 0


class LiOptions(GanSuperResolutionOptions):
    """Options of the published networks (``reference_li.json``)."""

    reference: Literal["li"] = option("li", "the published method", use="files")
    generator: Literal["unet", "gan"] = option("unet", "the published network")
    truth: Literal["sharp", "soft"] | None = option(
        None,
        "the ground truth that it was trained on; by default, as in the paper, soft for method 1, sharp for 2 and 3",
        shown="by the method",
    )

    @model_validator(mode="after")
    def _two_inputs_are_sharp(self) -> LiOptions:
        if self.method == 3 and self.truth == "soft":
            raise ValueError(
                "--truth soft: the networks of method 3 were trained on the sharp truth; leave --truth out"
            )
        return self
