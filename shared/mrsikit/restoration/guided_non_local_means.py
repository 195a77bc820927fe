r"""Sharpening by feature non-local means: averaged along an MRI's structures, and kept to what was measured.

From the interpolation, or any other start, passes of

.. math:: x \leftarrow \mathrm{FNLM}(x; f, h_f, h_x)

with :math:`h_f` and :math:`h_x` narrower from pass to pass, each followed by data consistency
(:func:`mrsikit.physics.spatial_encoding.data_consistency`). The MRI only says which voxels are averaged, so a lesion
that it alone shows can hardly come into the map. :math:`h_x` keeps lesions that the map alone shows: it is the map's
spread around a voxel, but no less than the noise. After a network, which has removed the noise, take for y the forward
model of the network's own map: then the means only add what the acquisition does not measure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.physics.spatial_encoding import data_consistency, interpolate
from mrsikit.restoration.non_local_means import feature_non_local_means

WIDTHS = (0.5, 0.1)
"""Of the features in the first and the last pass; chosen on BrainWeb 1, as all that follows."""

SPREAD, LEAST_SPREAD, NOISES = 1.2, 0.02, 3.0
"""Width of the map's own term: of its spread around a voxel, halved each pass; at least so much
of its maximum, and so many standard deviations of its noise."""

AROUND = 9
"""Voxels along each axis in which that spread is taken."""

WINDOW, PASSES = {2: 17, 3: 9}, {2: 2, 3: 3}
"""By the axes of space."""


def guided_non_local_means(
    coarse: Tensor,
    factor: int,
    psf: int,
    features: Tensor,
    *,
    start: Tensor | None = None,
    noise: float | Tensor = 0.0,
    passes: int | None = None,
    window: int | None = None,
    h_features: tuple[float, float] = WIDTHS,
    spread: float = SPREAD,
    dims: int = 2,
    slab: int | None = None,
) -> Tensor:
    """Sharpen maps along an MRI.

    Args:
        coarse: (B, X, Y[, Z]), maximum about 1.
        factor: fine voxels a coarse one.
        psf: code of the point-spread function, of :mod:`mrsikit.physics.spatial_encoding`.
        features: (B, F, factor X, factor Y[, factor Z]), of
            :func:`mrsikit.restoration.non_local_means.mri_features`.
        start: (B, factor X, factor Y[, factor Z]), a network's map, say; None: the interpolation.
        noise: standard deviation of the coarse map's noise, one number or as ``coarse``.
        passes: number of them; None: :data:`PASSES`.
        window: side of the window in fine voxels, odd; None: :data:`WINDOW`.
        h_features: widths of the features in the first and the last pass.
        spread: width of the map's own term in the first pass, of the map's spread around a voxel.
        dims: axes of space.
        slab: as of :func:`mrsikit.restoration.non_local_means.feature_non_local_means`.

    Returns:
        (B, factor X, factor Y[, factor Z]).
    """
    fine = interpolate(coarse, factor, psf, dims) if start is None else start
    around = _spread(fine, dims)
    least = torch.as_tensor(noise, dtype=fine.dtype, device=fine.device)
    if least.ndim:
        least = least.flatten(1).median(1).values.reshape(-1, *[1] * dims)
    least = (NOISES * least).clamp(min=LEAST_SPREAD)
    first, last = h_features
    count = PASSES[dims] if passes is None else passes
    for k in range(count):
        fine = feature_non_local_means(
            fine,
            features,
            window=WINDOW[dims] if window is None else window,
            h_features=first * (last / first) ** (k / max(1, count - 1)),
            h_image=(spread * around / 2**k).clamp(min=least),
            slab=slab,
        )
        fine = data_consistency(fine, coarse, factor, psf, noise=noise, dims=dims)
    return fine


def _spread(image: Tensor, dims: int) -> Tensor:
    """Standard deviation around each voxel."""
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    mean, square = (
        pool(values[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)[:, 0]
        for values in (image, image.square())
    )
    return torch.sqrt((square - mean.square()).clamp(min=0))
