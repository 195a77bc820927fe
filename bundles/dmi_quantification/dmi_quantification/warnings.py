"""What a user must know of a fit: the flags of a file, and which voxels are doubtful."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from dmi_quantification.acquisition import nearest_lines
from dmi_quantification.residual import Residual
from mrsikit.physics import spectra
from mrsikit.physics.fid_model import FidModel
from mrsikit.physics.nuclei import Resonance

FAINT = 3.0
"""Amplitude of the reference, in standard deviations, below which a fit is doubtful."""

EXTRA_LINE = 4.0
"""Height over the noise of the residual's tallest line that one FID of 512 samples in 10,000 reaches by chance."""

WIDE = 4.0
"""Score of a line's own width that is no chance."""

NEAR = 0.35
"""Distance (ppm) from a modelled line within which a residual is that line's, not another's."""

OTHER_FIELD = 0.15
"""Distance of the field of a tabulated T2* from the file's, as a share of it, that is mentioned."""

FEW = 50
"""FIDs below which relaxation times cannot be fitted well enough to ignore their own error."""


def residual_warnings(
    left: Residual, model: FidModel, names: Sequence[str], *, fitted_times: bool
) -> tuple[list[str], bool]:
    """What the residuals of all FIDs together say against the model, and whether the spectrum is mirrored.

    Args:
        left: of the FIDs.
        model: that was fitted.
        names: of its lines.
        fitted_times: whether its relaxation times were fitted to the data.
    """
    if left.count == 0:
        return [], False
    lines, mirrored = _extra_lines(left, model)
    if mirrored:
        return lines, True
    return [*lines, *_odd_widths(left, model, names, fitted_times), *_noise(left)], False


def _extra_lines(left: Residual, model: FidModel) -> tuple[list[str], bool]:
    axis = spectra.ppm_axis(model.points, model.dwell, larmor=model.larmor, reference=model.reference).numpy()
    away = np.min([np.abs(axis - ppm) for ppm in model.ppm], axis=0) > NEAR
    # the mean power of many FIDs of noise: a Gamma distribution, and the largest of so many points
    limit = stats.gamma.isf(1e-4 / model.points, left.count) / left.count
    power = np.where(away, left.power.numpy(), 0)
    if power.max() <= limit:
        return [], False
    where = axis[power.argmax()]
    mirrored = [2 * model.reference - ppm for ppm in model.ppm if abs(ppm - model.reference) > NEAR]
    if any(abs(where - ppm) < 0.2 for ppm in mirrored):
        return [
            "the spectrum looks mirrored, so the maps are worthless: conjugate the FIDs, NIfTI-MRS wants that sign"
        ], True
    return [f"there is a line near {where:.1f} ppm that is not in the model"], False


def _odd_widths(left: Residual, model: FidModel, names: Sequence[str], fitted_times: bool) -> list[str]:
    flags = []
    for k, name in enumerate(names):
        scores = left.wider[:, k]
        count = int((scores > 3).sum())
        if name == "Lac" and count > 5 * 0.00135 * left.count + 3:
            flags.append(f"lactate is too wide for its model in {count} FIDs: lipid at 1.3 ppm mimics it")
        others = [life for other, life in zip(names, model.t2_star, strict=True) if other != name]
        if name == "Lac" and fitted_times and others and model.t2_star[k] < 0.5 * float(np.median(others)):
            flags.append("the T2* fitted to lactate is that of lipid at 1.3 ppm, which mimics it")
        typical = float(scores.median())
        if not fitted_times and abs(typical) > max(1.0, 5.0 / math.sqrt(left.count)):
            way, life = ("shorter" if typical > 0 else "longer"), 1e3 * model.t2_star[k]
            cause = " (or it is lipid at 1.3 ppm)" if name == "Lac" and typical > 0 else ""
            flags.append(f"the T2* of {name} looks {way} than {life:.0f} ms{cause}: try --fit_t2_star true")
    return flags


def _noise(left: Residual) -> list[str]:
    samples = left.count * max(4, len(left.power) // 4)
    if abs(math.log(left.early_over_late)) > max(0.15, 4.0 / math.sqrt(samples)):
        return [
            "the noise changes along the FIDs: they were filtered, or a broad signal is left; the standard deviations "
            "are wrong"
        ]
    return []


def acquisition_warnings(
    model: FidModel,
    *,
    tabulated: Sequence[Resonance],
    tesla: float,
    delay_known: bool,
    echo: float | None,
    count: int,
    fitted_times: bool,
) -> list[str]:
    """What is odd about the acquisition.

    Args:
        model: of the FIDs.
        tabulated: its lines whose relaxation times are the table's.
        tesla: field of the file.
        delay_known: whether the file or the user gave the delay.
        echo: echo time (s) in the header that was not used, or None.
        count: FIDs.
        fitted_times: whether relaxation times were fitted to them.
    """
    flags = []
    if not delay_known:
        flags.append("the file gives no acquisition delay: 0 was assumed; set --delay (s)")
    if echo is not None:
        flags.append(f"an echo time of {1e3 * echo:g} ms was taken for an echo; for FIDs set --delay (s)")
    apart = nearest_lines(model.ppm) * model.larmor
    if model.points * model.dwell * apart < 1.5 and len(model.ppm) > 1:
        flags.append(
            f"FIDs of {1e3 * model.points * model.dwell:.0f} ms cannot tell lines {apart:.0f} Hz apart: the standard "
            "deviations are too small"
        )
    far = [line for line in tabulated if abs(line.t2_star_field(tesla) - tesla) > OTHER_FIELD * tesla]
    if far:
        fields = " and ".join(sorted({f"{line.t2_star_field(tesla):g}" for line in far}))
        flags.append(
            f"the T2* of {', '.join(line.name for line in far)} are the table's for {fields} T, the file is of "
            f"{tesla:.1f} T: give --t2_star, or try --fit_t2_star true"
        )
    if fitted_times and count < FEW:
        flags.append(f"relaxation times were fitted to {count} FIDs only: their own error is not in the deviations")
    return flags
