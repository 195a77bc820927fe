r"""Super-resolution by feature non-local means: average along an MRI's structures, then enforce data consistency.

The start is the interpolation or any other fine map. Each pass computes

.. math:: x \leftarrow \mathrm{FNLM}(x; f, h_f, h_x)

and then enforces data consistency (:class:`mrsikit.physics.spatial_encoding.SpatialEncoding`). :math:`h_f` and
:math:`h_x` become narrower from pass to pass. The MRI only decides which voxels are averaged, so a lesion that only the
MRI shows can hardly enter the map. :math:`h_x` preserves lesions that only the map shows: it is proportional to the
map's local standard deviation, with a lower limit from the noise. After a network, which has removed the noise, use for
y the forward operator applied to the network's own map. The means then only add what the acquisition does not measure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.restoration.non_local_means import feature_non_local_means

WIDTHS = (0.5, 0.1)
"""Width h_f of the features' term in the first and the last pass; chosen on BrainWeb 1, as are all values below."""

SPREAD, LEAST_SPREAD, NOISES = 1.2, 0.02, 3.0
"""Width h_x of the map's own term: 1.2 x the map's local standard deviation, halved each pass; but at least 0.02 of the
map's maximum and 3 x the standard deviation of its noise."""

AROUND = 9
"""Side, in fine voxels, of the window for the local standard deviation."""

WINDOW, PASSES = {2: 17, 3: 9}, {2: 2, 3: 3}
"""Side of the averaging window in fine voxels, and number of passes, by the number of spatial axes."""


def guided_non_local_means(
    coarse: Tensor,
    encoding: SpatialEncoding,
    features: Tensor,
    *,
    start: Tensor | None = None,
    noise: float | Tensor = 0.0,
    passes: int | None = None,
    window: int | None = None,
    h_features: tuple[float, float] = WIDTHS,
    spread: float = SPREAD,
    slab: int | None = None,
) -> Tensor:
    """Super-resolve maps along the structures of an MRI.

    Args:
        coarse: (B, X, Y[, Z]) coarse maps y with a maximum of about 1.
        encoding: encoding that measured them.
        features: (B, F, factor X, factor Y[, factor Z]), from
            :func:`mrsikit.restoration.non_local_means.mri_features`.
        start: (B, factor X, factor Y[, factor Z]) fine map to start from, such as a network's; None: the interpolation.
        noise: standard deviation of the coarse map's noise in its unit, one number or a tensor of the shape of
            ``coarse``.
        passes: number of passes; None: :data:`PASSES`.
        window: side of the window in fine voxels, odd; None: :data:`WINDOW`.
        h_features: width of the features' term in the first and in the last pass, dimensionless.
        spread: width of the map's own term in the first pass, as a multiple of the map's local standard deviation.
        slab: as for :func:`mrsikit.restoration.non_local_means.feature_non_local_means`.

    Returns:
        (B, factor X, factor Y[, factor Z]), in the unit of ``coarse``.
    """
    dims = encoding.dims
    fine = encoding.interpolate(coarse) if start is None else start
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
        fine = encoding.data_consistency(fine, coarse, noise=noise)
    return fine


def _spread(image: Tensor, dims: int) -> Tensor:
    """Local standard deviation around each voxel."""
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    mean, square = (
        pool(values[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)[:, 0]
        for values in (image, image.square())
    )
    return torch.sqrt((square - mean.square()).clamp(min=0))
