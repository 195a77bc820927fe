r"""Sharpening by feature non-local means: averaged along an MRI's structures, and kept to what was measured.

From the interpolation, or any other start, passes of

.. math:: x \leftarrow \mathrm{FNLM}(x; f, h_f, h_x), \qquad x \leftarrow x + W A^+ (y - A x), \qquad
          W = \frac{s^2}{s^2 + \sigma^2}

with :math:`h_f` and :math:`h_x` narrower from pass to pass, A the acquisition, and :math:`\sigma` the noise of the
coarse map y. The MRI only says which voxels are averaged, so a lesion that it alone shows can hardly come into the map;
:math:`h_x`, the spread of the map around a voxel but no less than the noise, keeps lesions that the map alone shows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.baselines.non_local_means import feature_non_local_means
from mrsikit.measurement import interpolated, measured

FIRST, LAST = 0.8, 0.2
"""Widths of the features in the first and the last pass; chosen on BrainWeb 1, as all that follows."""

SPREAD, LEAST_SPREAD, NOISES = 2.0, 0.02, 3.0
"""Width of the map's own term: of its spread around a voxel, halved each pass; at least so much of its maximum, and so
many standard deviations of its noise."""

AROUND = 9
"""Voxels along each axis in which that spread is taken."""

ERROR = 0.03
"""s, how far the averaged map errs by itself."""


def guided_non_local_means(
    coarse: Tensor,
    factor: int,
    psf: int,
    features: Tensor,
    *,
    start: Tensor | None = None,
    noise: float = 0.0,
    passes: int = 4,
    window: int = 13,
    dims: int = 2,
) -> Tensor:
    """Sharpen maps along an MRI.

    Args:
        coarse: (B, X, Y[, Z]), maximum about 1.
        factor: fine voxels a coarse one.
        psf: code of the point-spread function, of :mod:`mrsikit.measurement`.
        features: (B, F, factor X, factor Y[, factor Z]), of
            :func:`mrsikit.baselines.non_local_means.mri_features`.
        start: (B, factor X, factor Y[, factor Z]), a network's map, say; None: the interpolation.
        noise: standard deviation of the coarse map's noise.
        passes: number of them.
        window: side of the window in fine voxels, odd; 5 serves in three dimensions.
        dims: axes of space.

    Returns:
        (B, factor X, factor Y[, factor Z]).
    """
    fine = interpolated(coarse, factor, psf, dims) if start is None else start
    spread = _spread(fine, dims)
    trust = ERROR**2 / (ERROR**2 + noise**2)
    for k in range(passes):
        h = FIRST * (LAST / FIRST) ** (k / max(1, passes - 1))
        width = (SPREAD * spread / 2**k).clamp(min=max(LEAST_SPREAD, NOISES * noise))
        fine = feature_non_local_means(fine, features, window=window, h_features=h, h_image=width)
        wrong = coarse - measured(fine, factor, psf, dims)
        fine = fine + trust * interpolated(wrong, factor, psf, dims)
    return fine


def _spread(image: Tensor, dims: int) -> Tensor:
    """Standard deviation around each voxel."""
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    mean, square = (
        pool(values[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)[:, 0]
        for values in (image, image.square())
    )
    return torch.sqrt((square - mean.square()).clamp(min=0))
