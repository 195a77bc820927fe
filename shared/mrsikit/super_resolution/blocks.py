"""Published network blocks: ERB and HFAB of FMEN, GDFN of Restormer, written from their papers.

Each part of an ERB merges its three convolutions into one 3 x 3 convolution, in training too. Combining the kernels
instead of the images takes a fifth of the work and gives the same function. :func:`collapse` keeps only the merged
kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1


class RepeatedConvolution(nn.Module):
    r"""Re-parameterisable residual part of an ERB: :math:`x + C_1(C_3(y) + y)`, y = C_1 x, merged to one 3 x 3.

    Beyond the border y equals the bias of :math:`C_1`, which is what zeros become. The merged convolution, padded with
    zeros, is therefore exactly the same function.

    Args:
        channels: number of channels n.
        expansion: factor r; y has r n channels.
    """

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        wide = channels * expansion
        self.widen = nn.Conv2d(channels, wide, 1)
        self.look = nn.Conv2d(wide, wide, 3)
        self.narrow = nn.Conv2d(wide, channels, 1)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Return the weight (n, n, 3, 3) and bias (n,) of the merged convolution."""
        widen, narrow = self.widen.weight[:, :, 0, 0], self.narrow.weight[:, :, 0, 0]
        middle = torch.zeros_like(self.look.weight)
        middle[:, :, 1, 1] = torch.eye(middle.shape[0], device=middle.device, dtype=middle.dtype)
        look = self.look.weight + middle
        weight = torch.einsum("om,mnyx,ni->oiyx", narrow, look, widen)
        identity = torch.zeros_like(weight)
        identity[:, :, 1, 1] = torch.eye(weight.shape[0], device=weight.device, dtype=weight.dtype)
        first, second, last = self.widen.bias, self.look.bias, self.narrow.bias
        assert first is not None  # TorchScript treats a convolution's bias as optional
        assert second is not None
        assert last is not None
        return weight + identity, narrow @ (look.sum((2, 3)) @ first + second) + last

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        weight, bias = self.merged()
        return F.conv2d(x, weight, bias, padding=1)

    def expanded(self, x: Tensor) -> Tensor:
        """Apply the three convolutions one after the other; the result equals that of :meth:`forward`."""
        wide = F.conv2d(F.pad(x, [1, 1, 1, 1]), self.widen.weight, self.widen.bias)
        return self.narrow(self.look(wide) + wide[..., 1:-1, 1:-1]) + x

    def collapsed(self) -> nn.Conv2d:
        """Return the merged convolution as a module."""
        weight, bias = self.merged()
        out = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        out.weight, out.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        return out


def collapse(network: nn.Module) -> None:
    """Replace every :class:`RepeatedConvolution` of a network by its merged convolution, in place."""
    for name, part in network.named_children():
        if isinstance(part, RepeatedConvolution):
            setattr(network, name, part.collapsed())
        else:
            collapse(part)


class InstanceNorm(nn.Module):
    """Instance normalisation that makes no copies of channels-last tensors; PyTorch's makes two.

    PyTorch's group normalisation makes no copies either, but its variance loses digits that the regression on the
    classes needs.

    Args:
        channels: number of channels n.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        centred = x - x.mean([2, 3], keepdim=True)
        scale = torch.rsqrt(centred.square().mean([2, 3], keepdim=True) + 1e-5)
        return centred * (scale * self.weight[:, None, None]) + self.bias[:, None, None]


class EnhancedResidualBlock(nn.Module):
    """ERB: two :class:`RepeatedConvolution` with a LeakyReLU between them.

    Args:
        channels: number of channels n.
        normalised: whether an instance normalisation precedes the LeakyReLU. The paper has none.
    """

    def __init__(self, channels: int, *, normalised: bool = False) -> None:
        super().__init__()
        self.first = RepeatedConvolution(channels)
        self.between = nn.Sequential(InstanceNorm(channels) if normalised else nn.Identity(), nn.LeakyReLU(SLOPE))
        self.second = RepeatedConvolution(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        return self.second(self.between(self.first(x)))


class HighFrequencyAttention(nn.Module):
    """HFAB: multiply the input by weights that a narrow branch computes from it.

    Args:
        channels: number of channels n.
        narrow: number of channels m of the branch.
        normalised: whether to use batch normalisation, as the paper does. Without it the weight lies between .5 and 1.5
            and starts at 1.
    """

    def __init__(self, channels: int, narrow: int, *, normalised: bool = True) -> None:
        super().__init__()

        def norm(width: int) -> nn.Module:
            return nn.BatchNorm2d(width) if normalised else nn.Identity()

        self.least = 0.0 if normalised else 0.5
        last = nn.Conv2d(narrow, channels, 3, padding=1)
        if not normalised:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.branch = nn.Sequential(
            norm(channels),
            nn.Conv2d(channels, narrow, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            EnhancedResidualBlock(narrow),
            nn.LeakyReLU(SLOPE),
            norm(narrow),
            last,
            norm(channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        return x * (self.least + self.branch(x))


class GatedFeedForward(nn.Module):
    """GDFN: one half of the expanded channels gates the other, after a depthwise 3 x 3 convolution of both.

    Args:
        channels: number of channels n.
        expansion: factor gamma; each half has gamma n channels.
    """

    def __init__(self, channels: int, expansion: float = 2.66) -> None:
        super().__init__()
        half = int(expansion * channels)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.widen = nn.Conv2d(channels, 2 * half, 1, bias=False)
        self.look = nn.Conv2d(2 * half, 2 * half, 3, padding=1, groups=2 * half, bias=False)
        self.narrow = nn.Conv2d(half, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform features (B, n, X, Y) to the same shape."""
        spread = (x - x.mean(1, keepdim=True)).square().mean(1, keepdim=True)
        normal = x * torch.rsqrt(spread + 1e-5) * self.scale
        gate, value = self.look(self.widen(normal)).chunk(2, 1)
        return x + self.narrow(F.gelu(gate) * value)
