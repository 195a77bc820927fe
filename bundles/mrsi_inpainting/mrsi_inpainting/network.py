"""The network of ``models/model.pt``: :class:`Inpainter` finds and fills failed voxels of metabolite maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from mrsi_inpainting.batched_fills import least_curvature, neighbours, pyramid_fill, smooth_fill

CANVAS = {2: 64, 3: 48}
"""Smallest matrix (voxels per side) of the network's input, by number of dimensions; smaller maps are padded to it."""

STRIDE = 16
"""Padded matrix sizes are a multiple of this, because the U-Net halves the resolution four times."""


def _occupied(x: Tensor, axis: int, margin: int = 4) -> tuple[int, int]:
    """Return the first voxel and the number of voxels of the non-empty range along an axis, with a margin in voxels."""
    size = x.shape[axis]
    filled = torch.nonzero(x.transpose(0, axis).flatten(1).amax(1) > 0)
    if filled.shape[0] == 0:
        return 0, size
    first = max(0, int(filled[0].item()) - margin)
    return first, min(size, int(filled[-1].item()) + margin + 1) - first


def judged_missing(values: Tensor, probability: Tensor, threshold: float, wrong_threshold: float) -> Tensor:
    """Decide which voxels are missing: zeros above one probability, other values above a second, higher one.

    The second threshold is higher because the two errors differ in cost: a wrong value left in place stays visible, but
    a lesion taken for a wrong value is erased.

    Args:
        values: map, zero where nothing was measured.
        probability: probability of being missing or wrong, same shape.
        threshold: probability above which a zero is missing.
        wrong_threshold: probability above which another value is wrong.

    Returns:
        bool, same shape: True where the voxel is missing or wrong.
    """
    return torch.where(values == 0, probability > threshold, probability > wrong_threshold)


class SliceUNet(nn.Module):
    """MONAI's 2D U-Net; in a volume it processes each slice along the last axis with some channels of its neighbours.

    The input channels of a volume already hold fills and means over all three axes. A 2D network on them costs a third
    of a network with 3D kernels and learns from far fewer volumes.

    Args:
        spatial_dims: 2: slices; 3: volumes.
        in_channels: number of input channels.
        out_channels: number of output channels.
        features: channels of the six stages, see monai's BasicUNet.
        neighbour_channels: input channels that are also taken from the slices before and after (3D).
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: tuple[int, ...],
        neighbour_channels: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.neighbour_channels = list(neighbour_channels)
        # Group norm suits small batches. Upsampling interpolates, because transposed convolution leaves a checkerboard.
        self.unet = BasicUNet(
            spatial_dims=2,
            in_channels=in_channels + (2 * len(neighbour_channels) if spatial_dims == 3 else 0),
            out_channels=out_channels,
            features=features,
            act="SWISH",
            norm=("group", {"num_groups": 8}),
            upsample="nontrainable",
        )
        nn.init.zeros_(self.unet.final_conv.weight)
        nn.init.zeros_(self.unet.final_conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, X, Y[, Z]) to (B, out_channels, X, Y[, Z]); X and Y are multiples of 16."""
        if x.dim() == 4:
            return self.unet(x)
        before, after = neighbours(x[:, self.neighbour_channels], 4)
        x = torch.cat([x, before, after], 1)
        slices = x.permute(0, 4, 1, 2, 3).reshape([x.shape[0] * x.shape[4], x.shape[1], x.shape[2], x.shape[3]])
        # Few slices at a time, so that they stay in the processor's cache.
        last = torch.channels_last
        out = torch.cat([self.unet(few.contiguous(memory_format=last)) for few in slices.split(16)])
        out = out.reshape([x.shape[0], x.shape[4], out.shape[1], x.shape[2], x.shape[3]])
        return out.permute(0, 2, 3, 4, 1)

    @torch.jit.unused
    def adopt(self, planar: SliceUNet) -> None:
        """Start a network for volumes from one trained on slices, with zero weights for the neighbouring slices."""
        state = planar.state_dict()
        name = "unet.conv_0.conv_0.conv.weight"
        first = torch.zeros_like(self.state_dict()[name])
        first[:, : state[name].shape[1]] = state[name]
        self.load_state_dict({**state, name: first})


class MapInpainter(nn.Module):
    r"""Network that detects failed voxels and then fills them: two small U-Nets, linked by the mask of missing voxels.

    The *detector* gives each voxel of unknown state the probability of being missing. The network removes the voxels
    that are known or judged to be missing and fills the map from the others by classical methods: two fills of least
    curvature (with and without the zeros outside a known brain), which are best on clean maps, a softer fill, and a
    multi-scale mean, which is best on noisy maps. The *filler* blends these fills, corrects the blend in units of the
    local contrast, and estimates its standard deviation. If a mask is given, the detector has no effect, so one set of
    weights serves both uses.

    Internally the maps are scaled to a robust mean of 1, so the output has the input's unit. In evaluation mode the
    result of a slice is the mean over four mirror images, and a volume is first cropped to its non-empty part. The
    fills and means of a volume use all three axes; the U-Nets process it slice by slice, see :class:`SliceUNet`.

    Args:
        spatial_dims: 2 or 3.
        detector_features: channels of the detector's six stages, see monai's BasicUNet.
        filler_features: channels of the filler's six stages.
        threshold: probability above which a zero is judged missing.
        wrong_threshold: probability above which a value that is not zero is judged wrong.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        detector_features: tuple[int, ...] = (16, 24, 32, 64, 96, 16),
        filler_features: tuple[int, ...] = (24, 32, 64, 96, 128, 24),
        threshold: float = 0.5,
        wrong_threshold: float = 0.9,
    ) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.canvas = CANVAS[spatial_dims]
        self.stride = STRIDE
        self.threshold = threshold
        self.wrong_threshold = wrong_threshold
        self.detector = SliceUNet(
            spatial_dims=spatial_dims,
            in_channels=5,
            out_channels=1,
            features=detector_features,
            neighbour_channels=(0, 2),
        )
        self.filler = SliceUNet(
            spatial_dims=spatial_dims,
            in_channels=11,
            out_channels=6,
            features=filler_features,
            neighbour_channels=(0, 9),
        )
        self.log_sd_shift = nn.Buffer(torch.zeros(1))
        """Calibration of the standard deviation: shift of its logarithm, fitted on validation subjects."""

    @torch.jit.unused
    def adopt(self, planar: MapInpainter) -> None:
        """Start a network for volumes from one trained on slices."""
        self.detector.adopt(planar.detector)
        self.filler.adopt(planar.filler)
        self.log_sd_shift.copy_(planar.log_sd_shift)

    def scale(self, values: Tensor, trusted: Tensor) -> Tensor:
        """Robust mean (B, 1, 1, 1[, 1]) of the trusted positive voxels, clipped at three times their plain mean.

        Args:
            values: maps (B, 1, X, Y[, Z]).
            trusted: same shape, 1 where the value can be trusted, else 0.

        Returns:
            The mean in the maps' unit; 1 if no trusted voxel is positive.
        """
        axes = list(range(1, values.dim()))
        use = trusted * (values > 0)
        count = use.sum(axes, keepdim=True) + 1e-6
        mean = (values * use).sum(axes, keepdim=True) / count
        mean = (torch.minimum(values, 3.0 * mean) * use).sum(axes, keepdim=True) / count
        return torch.where(mean > 0, mean, torch.ones_like(mean))

    def clues(self, values: Tensor, observation: Tensor, brain: Tensor) -> Tensor:
        """Return the detector's input (B, 5, X, Y[, Z]): map, multi-scale mean, zeros, observation mask and brain.

        Args:
            values: maps (B, 1, X, Y[, Z]) scaled by :meth:`scale`.
            observation: 1 missing, 0 observed, -1 unknown; same shape.
            brain: 1 inside, 0 outside, -1 unknown; same shape.
        """
        known = (observation > 0.5).to(values.dtype)
        zero = (values == 0).to(values.dtype)
        fill = pyramid_fill(values, (1.0 - known) * (1.0 - zero))
        return torch.cat([values.clamp(-2.0, 8.0), fill, zero, observation, brain], 1)

    def guides(
        self, values: Tensor, missing: Tensor, observation: Tensor, brain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the filler's input, and the local mean and contrast that relate it to the map.

        Args:
            values: maps (B, 1, X, Y[, Z]) scaled by :meth:`scale`.
            missing: 1 missing, else 0; same shape.
            observation: 1 missing, 0 observed, -1 unknown; same shape.
            brain: 1 inside, 0 outside, -1 unknown; same shape.

        Returns:
            Three tensors. The filler's input (B, 11, X, Y[, Z]): measured values, four classical fills and zero, each
            minus the local mean and divided by the local contrast; the contrast's logarithm; the masks missing, brain,
            trusted and observation. Then the local mean and the local contrast, each (B, 1, X, Y[, Z]).
        """
        kept = 1.0 - missing
        # Zeros outside a known brain mislead the fill at a missing rim, but elsewhere at the edge they are the best
        # guide. Fills are therefore made both without and with them.
        within = kept * (1.0 - (brain == 0).to(values.dtype))
        level = pyramid_fill(values, within, 1)
        # In units of the local contrast, the edge of a tumour looks to the filler like that of the cortex.
        contrast = pyramid_fill((values - level) ** 2, within, 1).sqrt() + 0.02 * level.abs() + 0.02
        mean = pyramid_fill(values, within)
        soft = smooth_fill(values, within, mean)
        inner = least_curvature(within * values + (1.0 - within) * soft, within)
        start = soft
        if bool((brain > 0.5).any()):  # else the two fills differ only at the canvas's edge
            start = smooth_fill(values, kept, pyramid_fill(values, kept))
        outer = least_curvature(kept * values + missing * start, kept)
        fills = ((torch.cat([outer, inner, soft, mean], 1) - level) / contrast).clamp(-8.0, 8.0)
        measured = kept * ((values - level) / contrast).clamp(-8.0, 8.0)
        zero = (-level / contrast).clamp(-16.0, 16.0)
        inputs = [measured, fills, zero, contrast.log(), missing, brain, within * (values != 0), observation]
        return torch.cat(inputs, 1), level, contrast

    def forward(self, x: Tensor) -> Tensor:
        """Detect and fill the missing voxels.

        Args:
            x: (B, 3, X, Y[, Z]): map (any unit; zero where known missing), observation mask (1 missing, 0 observed, -1
                unknown), brain mask (1 inside, 0 outside, -1 unknown).

        Returns:
            (B, 3, X, Y[, Z]): filled map and its standard deviation (both in the map's unit), and the probability of
            being missing. Observed voxels also hold the network's estimate; the caller must keep the measured values.
        """
        known = (x[:, 1:2] > 0.5).to(x.dtype)
        scale = self.scale(x[:, 0:1], 1.0 - known)
        values = x[:, 0:1] * (1.0 - known) / scale
        x = torch.cat([values, x[:, 1:]], 1)
        starts: list[int] = []
        sizes: list[int] = []
        pads: list[int] = []
        whole: list[int] = []
        for axis in range(x.dim() - 1, 1, -1):
            full = x.shape[axis]
            first, size = 0, full
            if x.dim() == 5 and not self.training:
                first, size = _occupied(x[:, 0:1].abs() + (x[:, 1:2] > 0.5) + (x[:, 2:3] > 0.5), axis)
                x = x.narrow(axis, first, size)
            wanted = max(self.canvas, (size + self.stride - 1) // self.stride * self.stride)
            low = (wanted - size) // 2
            starts.insert(0, low)
            sizes.insert(0, size)
            pads += [low, wanted - size - low]
            whole += [first, full - size - first]
        x = F.pad(x, pads)

        unmirrored: list[int] = []
        views = [unmirrored]
        if not self.training:
            views = [unmirrored, [2], [3], [2, 3]] if x.dim() == 4 else [unmirrored]
        values, observation, brain = x[:, 0:1], x[:, 1:2], x[:, 2:3]
        # Only fills and means need the whole padding along the last axis; the U-Nets get one padding slice per side.
        depth = x.shape[-1]
        top = max(0, starts[-1] - 1) if x.dim() == 5 else 0
        slices = min(depth, starts[-1] + sizes[-1] + 1) - top if x.dim() == 5 else depth
        probability = torch.zeros_like(values.narrow(-1, top, slices))
        # First average the detection over the mirror images, so that the filler fills the same voxels in all of them.
        clues = self.clues(values, observation, brain).narrow(-1, top, slices)
        for axes in views:
            logit = torch.flip(self.detector(torch.flip(clues, axes)), axes)
            probability = probability + torch.sigmoid(logit) / len(views)
        probability = F.pad(probability, [top, depth - top - slices])
        judged = judged_missing(values, probability, self.threshold, self.wrong_threshold).to(x.dtype)
        missing = torch.where(observation < -0.5, judged, (observation > 0.5).to(x.dtype))
        with torch.no_grad():
            guides, level, contrast = self.guides(values, missing, observation, brain)
        guides = guides.narrow(-1, top, slices)
        level, contrast = level.narrow(-1, top, slices), contrast.narrow(-1, top, slices)
        fills = guides[:, 1:5]
        filled, log_sd = torch.zeros_like(level), torch.zeros_like(level)
        for axes in views:
            out = torch.flip(self.filler(torch.flip(guides, axes)), axes)
            blend = (torch.softmax(out[:, 2:6], 1) * fills).sum(1, keepdim=True)
            filled = filled + (level + contrast * (blend + out[:, 0:1])) / len(views)
            log_sd = log_sd + (contrast.log() + out[:, 1:2]).clamp(-7.0, 2.0) / len(views)
        out = torch.cat([filled * scale, torch.exp(log_sd + self.log_sd_shift) * scale], 1)
        out = torch.cat([F.pad(out, [top, depth - top - slices]), probability], 1)
        for axis in range(len(sizes)):
            out = out.narrow(axis + 2, starts[axis], sizes[axis])
        return F.pad(out, whole)


class Finder(nn.Module):
    """The detector of a :class:`MapInpainter`, to be trained without the filler.

    Args:
        inpainter: network that holds the detector; the weights of its filler are frozen.
    """

    def __init__(self, inpainter: MapInpainter) -> None:
        super().__init__()
        self.inpainter = inpainter
        self.inpainter.filler.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probability of being missing (B, 1, ...) for the input of a MapInpainter, sides a multiple of 16.

        Args:
            x: (B, 3, X, Y[, Z]), see :meth:`MapInpainter.forward`.
        """
        known = (x[:, 1:2] > 0.5).to(x.dtype)
        values = x[:, 0:1] * (1.0 - known) / self.inpainter.scale(x[:, 0:1], 1.0 - known)
        clues = self.inpainter.clues(values, x[:, 1:2], x[:, 2:3])
        return torch.sigmoid(self.inpainter.detector(clues))


class Inpainter(nn.Module):
    """The bundle's network: a 2D and a 3D :class:`MapInpainter`, chosen by the number of axes of the input.

    Args:
        threshold: probability above which both networks judge a zero missing.
        wrong_threshold: probability above which both networks judge a value wrong.
    """

    def __init__(self, *, threshold: float = 0.5, wrong_threshold: float = 0.9) -> None:
        super().__init__()
        self.planar = MapInpainter(spatial_dims=2, threshold=threshold, wrong_threshold=wrong_threshold)
        self.volumetric = MapInpainter(spatial_dims=3, threshold=threshold, wrong_threshold=wrong_threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Detect and fill the missing voxels of M maps at once.

        Args:
            x: (B, 3 M, X, Y) slices or (B, 3 M, X, Y, Z) volumes: for each map the three channels of
                :meth:`MapInpainter.forward`.

        Returns:
            Same shape: for each map the filled map, its standard deviation and the probability of being missing.
        """
        if not torch.jit.is_scripting() and isinstance(x, MetaTensor):
            x = x.as_tensor()  # MetaTensor's metadata of batches fails when the batch is split
        size = x.shape
        maps = x.reshape([size[0] * size[1] // 3, 3] + list(size[2:]))
        parts: list[Tensor] = []
        # Few maps at a time limit the memory that a stack of slices or metabolites needs.
        step = 16 if x.dim() == 4 else 1
        for start in range(0, maps.shape[0], step):
            chunk = maps[start : start + step]
            if x.dim() == 4:
                parts.append(self.planar(chunk))
            else:
                parts.append(self.volumetric(chunk))
        return torch.cat(parts).reshape(size)
