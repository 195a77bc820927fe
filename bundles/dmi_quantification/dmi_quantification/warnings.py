"""The warnings of a run: one rule a warning, applied in the order of :data:`RULES`.

A rule looks at one fitted file and yields its warning, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from dmi_quantification.fit_quality import FAINT
from dmi_quantification.fitted_file import FittedFile
from dmi_quantification.residual import ghost_of, line_outside_model
from mrsikit.fitting.sign_test import sign_warnings
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import nearest_lines
from mrsikit.restoration.sampled_matrix import interpolated_in_words

OTHER_FIELD = 0.15
"""Relative difference of two fields beyond which one field's T2* is doubtful at the other."""

FEW = 50
"""Number of FIDs below which fitted relaxation times have an error of their own that matters."""

SHORT = 1.5
"""Duration of a FID, times the distance of the nearest lines, below which the FID cannot tell the lines apart."""

OTHER_ACQUISITION = 0.01
"""Relative difference of an acquisition's parameter from the network's training beyond which the two differ."""

COVERED = 0.95
"""Share of the voxels that an MRI must cover."""


Rule = Callable[[FittedFile], Iterator[str]]
LineRule = Callable[[FittedFile, int], Iterator[str]]


def run_warnings(file: FittedFile) -> list[str]:
    """Apply all rules to one fitted file."""
    return [warning for rule in RULES for warning in rule(file)]


# Rules of the acquisition


def sign(file: FittedFile) -> Iterator[str]:
    """The FIDs have another sign or reference than NIfTI-MRS and their header say, or it cannot be told."""
    yield from sign_warnings(file.sign, reference=file.model.reference, result="maps")


def unknown_delay(file: FittedFile) -> Iterator[str]:
    """Neither the header nor the user gives the acquisition delay."""
    if not file.delay_known:
        yield "the file gives no acquisition delay: 0 was assumed; set --delay (s)"


def misspelt_keys(file: FittedFile) -> Iterator[str]:
    """The header has keys that look like misspelt ones."""
    for wrong, right in file.misspelt.items():
        yield f"the header's {wrong} is no key of NIfTI-MRS, {right} is: nothing was taken from it"


def long_echo_time(file: FittedFile) -> Iterator[str]:
    """The header's echo time is too long to be a FID's delay."""
    if file.echo is not None:
        yield f"an echo time of {1e3 * file.echo:g} ms was taken for an echo; for FIDs set --delay (s)"


def short_fids(file: FittedFile) -> Iterator[str]:
    """The FIDs end before neighbouring lines come apart."""
    duration, distance = file.model.points * file.model.dwell, _nearest_lines_hz(file.model)
    if duration * distance < SHORT and len(file.model.ppm) > 1:
        yield (
            f"FIDs of {1e3 * duration:.0f} ms cannot tell lines {distance:.0f} Hz apart: the standard "
            "deviations are too small"
        )


def t2_star_of_another_field(file: FittedFile) -> Iterator[str]:
    """The table knows the relaxation times at another field only."""
    far = [line for line in file.tabulated if _is_other_field(line.t2_star_field(file.tesla), file.tesla)]
    if far:
        fields = " and ".join(sorted({f"{line.t2_star_field(file.tesla):g}" for line in far}))
        yield (
            f"the T2* of {', '.join(line.name for line in far)} are the table's for {fields} T, the file is of "
            f"{file.tesla:.1f} T: give --t2_star, or try --fit_t2_star true"
        )


def few_fids_for_t2_star(file: FittedFile) -> Iterator[str]:
    """Relaxation times were fitted to few FIDs."""
    count = int(file.quality.measured.sum())
    if file.fitted_times and count < FEW:
        yield f"relaxation times were fitted to {count} FIDs only: their own error is not in the deviations"


# Rules of the single fits


def merged_lines(file: FittedFile) -> Iterator[str]:
    """Some FIDs have lines that are wider than their distance."""
    if file.quality.merged.any():
        yield f"{int(file.quality.merged.sum())} FIDs have lines as wide as the distance between two"


def mostly_noise(file: FittedFile) -> Iterator[str]:
    """The reference is faint in half of the voxels."""
    snr = file.quality.snr[file.quality.measured]
    if snr.size and np.median(snr) < FAINT:
        yield f"{file.metabolites[0]} is under 3 standard deviations in half of the voxels: mostly noise"


def largest_shift(file: FittedFile) -> Iterator[str]:
    """Some FIDs are shifted as far as the fit looks, or farther."""
    if file.quality.at_largest_shift.any():
        count = int(file.quality.at_largest_shift.sum())
        yield f"{count} FIDs are shifted by {file.max_shift:g} ppm or more, the largest sought"


# Rules of the options


def no_factors(file: FittedFile) -> Iterator[str]:
    """Concentrations were asked for without factors."""
    if file.water is not None and not file.factors:
        yield "mM without --factors: no saturation or number of labelled nuclei was accounted for"


def other_acquisition_than_trained(file: FittedFile) -> Iterator[str]:
    """A network was trained at another acquisition than the file's."""
    odd = [
        f"{name} {getattr(file.model, name):g}"
        for name, trained in file.trained.items()
        if abs(getattr(file.model, name) - trained) > OTHER_ACQUISITION * max(trained, 1e-4)
    ]
    if odd:
        trained_at = ", ".join(f"{name} {trained:g}" for name, trained in file.trained.items())
        yield f"the network was trained at {trained_at}; the file has {', '.join(odd)}"


# Rules of the residuals of all FIDs together; they need at least one FID whose residual was examined


def extra_line(file: FittedFile) -> Iterator[str]:
    """The residuals hold a line that is not in the model."""
    ppm = line_outside_model(file.residual, file.model)
    if ppm is not None:
        ghost = ghost_of(ppm, file.model)
        cause = "" if ghost is None else f", where a quadrature ghost of {file.metabolites[ghost]} would lie"
        yield f"there is a line near {ppm:.1f} ppm that is not in the model{cause}"


def lactate_too_wide(file: FittedFile, k: int) -> Iterator[str]:
    """Lactate is too wide in more FIDs than chance explains."""
    if file.metabolites[k] != "Lac":
        return
    count = int((file.residual.wider[:, k] > 3).sum())
    # of normal scores, a share of 0.00135 exceeds 3
    if count > 5 * 0.00135 * file.residual.count + 3:
        yield f"lactate is too wide for its model in {count} FIDs: lipid at 1.3 ppm mimics it"


def lactate_fitted_as_lipid(file: FittedFile, k: int) -> Iterator[str]:
    """The relaxation time fitted to lactate is as short as lipid's."""
    if file.metabolites[k] != "Lac" or not file.fitted_times:
        return
    times = file.model.t2_star
    others = [time for name, time in zip(file.metabolites, times, strict=True) if name != "Lac"]
    if others and times[k] < 0.5 * float(np.median(others)):
        yield "the T2* fitted to lactate is that of lipid at 1.3 ppm, which mimics it"


def wrong_t2_star(file: FittedFile, k: int) -> Iterator[str]:
    """A line wants another width than its relaxation time gives it."""
    score, name = float(file.residual.wider[:, k].median()), file.metabolites[k]
    if not file.fitted_times and abs(score) > max(1.0, 5.0 / math.sqrt(file.residual.count)):
        way, time = ("shorter" if score > 0 else "longer"), 1e3 * file.model.t2_star[k]
        cause = " (or it is lipid at 1.3 ppm)" if name == "Lac" and score > 0 else ""
        yield f"the T2* of {name} looks {way} than {time:.0f} ms{cause}: try --fit_t2_star true"


def for_each_line(*rules: LineRule) -> Rule:
    """Make one rule of rules of a line: it applies all of them to the first line, then to the next."""

    def rule(file: FittedFile) -> Iterator[str]:
        if file.residual.count > 0:
            for k in range(len(file.metabolites)):
                for line_rule in rules:
                    yield from line_rule(file, k)

    return rule


def wrong_first_samples(file: FittedFile) -> Iterator[str]:
    """The other samples of the FIDs contradict the first ones."""
    first = file.first_samples
    if first.count == 0:
        return
    k = int(np.argmax(np.abs(first.change)))
    one = first.count == 1
    what, verb, them = ("sample", "is", "it") if one else (f"{first.count} samples", "are", "them")
    yield (
        f"the first {what} of {first.fids} FIDs {verb} wrong: the first is {first.ratio:.2g} times what the others "
        f"predict, and without {them} {file.metabolites[k]} changes by {first.change[k]:+.0%}; cut {them} off and add "
        f"{1e3 * first.count * file.model.dwell:.3g} ms to the delay"
    )


def not_finite(file: FittedFile) -> Iterator[str]:
    """Some fits came to no number."""
    count = int(file.quality.not_finite.sum())
    if count:
        yield f"the fits of {count} FIDs came to no finite number: are dwell time, delay and relaxation times right?"


def noise_changes(file: FittedFile) -> Iterator[str]:
    """The noise of the first and the last quarter of the FIDs differ."""
    residual = file.residual
    if residual.count == 0:
        return
    samples = residual.count * max(4, len(residual.power) // 4)
    if abs(math.log(residual.early_over_late)) > max(0.15, 4.0 / math.sqrt(samples)):
        yield (
            "the noise changes along the FIDs: they were filtered, or a broad signal is left; the standard deviations "
            "are wrong"
        )


# Rules of the voxels and the MRI


def interpolated_voxels(file: FittedFile) -> Iterator[str]:
    """The FIDs were interpolated between the voxels."""
    if any(file.sampled):
        effect = "" if file.mri_coverage is None else ", and the deviations of smoothed maps are too small"
        yield (
            f"{interpolated_in_words(file.sampled, file.grid)}: neighbours share signal and noise, so errors of "
            f"regions are larger than their voxels' say{effect}"
        )


def mri_does_not_cover(file: FittedFile) -> Iterator[str]:
    """The MRI covers a part of the voxels only."""
    share = file.mri_coverage
    if share is not None and share < COVERED:
        effect = "nothing was smoothed: do their headers agree?" if share == 0 else "the others are as fitted"
        yield f"the MRI covers {share:.0%} of the voxels; {effect}"


RULES: tuple[Rule, ...] = (
    sign,
    not_finite,
    unknown_delay,
    misspelt_keys,
    long_echo_time,
    short_fids,
    t2_star_of_another_field,
    few_fids_for_t2_star,
    merged_lines,
    mostly_noise,
    largest_shift,
    no_factors,
    other_acquisition_than_trained,
    extra_line,
    for_each_line(lactate_too_wide, lactate_fitted_as_lipid, wrong_t2_star),
    wrong_first_samples,
    noise_changes,
    interpolated_voxels,
    mri_does_not_cover,
)


def _nearest_lines_hz(model: FidModel) -> float:
    """Smallest distance (Hz) of two lines."""
    return nearest_lines(model.ppm) * model.larmor


def _is_other_field(field: float, tesla: float) -> bool:
    return abs(field - tesla) > OTHER_FIELD * tesla
