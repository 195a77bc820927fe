"""What is known of one file after its fit: the warnings and the summary are made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmi_quantification.first_samples import FirstSamples
from dmi_quantification.fit_quality import FitQuality
from dmi_quantification.residual import Residual
from mrsikit.fitting.sign_test import SignTest
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import Nucleus, Resonance


@dataclass(frozen=True, kw_only=True)
class FittedFile:
    """One file after its fit: acquisition, options and judgement of the fits.

    Attributes:
        nucleus: of the file.
        model: that was fitted, with its relaxation times.
        metabolites: names of its K lines; the first is the reference.
        t2_star_sd: (K,) standard deviations (s) of the relaxation times; 0: not fitted.
        t2_star_given: (K,) whether the user gave the relaxation time.
        delay_known: whether the header or the user gave the acquisition delay.
        echo: echo time (s) in the header that was taken for an echo's; None if there is none, or a delay was given.
        max_shift: the largest shift that is sought (ppm).
        water: concentration of water (mM) that the user gave, or None.
        factors: by metabolite, what the user gave for saturation and labelled nuclei.
        trained: acquisition that a network was trained at, as attributes of the model; empty without a network.
        mri_coverage: share of the fitted voxels that the MRI covers; None if nothing is smoothed.
        grid: number of voxels of the FIDs along each axis.
        sampled: for each axis the number of measured voxels if the FIDs were interpolated, else 0.
        misspelt: keys of the header that look like misspelt ones, and what is right.
        sign: what the FIDs say of their sign.
        first_samples: what is wrong with their first samples.
        quality: judgement of the fits.
        residual: what the fits leave.
    """

    nucleus: Nucleus
    model: FidModel
    metabolites: Sequence[str]
    t2_star_sd: Sequence[float]
    t2_star_given: Sequence[bool]
    delay_known: bool
    echo: float | None
    max_shift: float
    water: float | None
    factors: Mapping[str, float]
    trained: Mapping[str, float]
    mri_coverage: float | None
    grid: Sequence[int]
    sampled: Sequence[int]
    misspelt: Mapping[str, str]
    sign: SignTest
    first_samples: FirstSamples
    quality: FitQuality
    residual: Residual

    @property
    def tesla(self) -> float:
        """Field of the file (T)."""
        return self.nucleus.field_of(self.model.larmor)

    @property
    def fitted_times(self) -> bool:
        """Whether relaxation times were fitted to the file."""
        return any(sd > 0 for sd in self.t2_star_sd)

    @property
    def tabulated(self) -> list[Resonance]:
        """The lines whose relaxation times are the table's."""
        if self.fitted_times:
            return []
        given = zip(self.metabolites, self.t2_star_given, strict=True)
        return [self.nucleus.resonances[name] for name, by_user in given if not by_user]
