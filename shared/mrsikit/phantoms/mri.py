"""T1-weighted and FLAIR images of a virtual patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mrsikit.phantoms.fields import SmoothField
from mrsikit.phantoms.subject import Grid, Tissues

# Signal relative to the brightest normal tissue: (lowest, highest) over scanners and protocols. The order and the
# ranges were read from clinical 3 T images: T1 has WM > GM > CSF; FLAIR has GM > WM >> CSF with tumour and oedema
# brightest.
CONTRAST = {
    "t1": {
        "gm": (0.55, 0.75), "wm": (0.85, 1.0), "csf": (0.12, 0.28),
        "viable": (0.4, 0.7), "necrosis": (0.2, 0.45), "oedema": (0.45, 0.65),
    },
    "flair": {
        "gm": (0.56, 0.7), "wm": (0.4, 0.51), "csf": (0.05, 0.15),
        "viable": (0.75, 1.1), "necrosis": (0.15, 0.6), "oedema": (0.75, 1.0),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scanner:
    """Settings of one virtual MRI examination.

    Attributes:
        noise: SD of the Gaussian noise in the real and the imaginary channel (white matter is about 0.5-1). The
            magnitude image is Rician.
        bias: SD of the logarithm of the coil's shading.
        texture: relative SD of the texture of the tissue.
        hyperintensity: threshold, in SD of a smooth noise field, above which FLAIR shows a small age-related
            white-matter hyperintensity; higher values give fewer.
    """

    noise: float
    bias: float
    texture: float
    hyperintensity: float = 9.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Scanner:
        """Draw settings of typical clinical image quality."""
        return cls(
            noise=float(rng.uniform(0.008, 0.04)),
            bias=float(rng.uniform(0.04, 0.14)),
            texture=float(rng.uniform(0.02, 0.05)),
            hyperintensity=float(rng.uniform(2.3, 4.5)),
        )


def brain_quantile(image: Tensor, brain: Tensor, share: float) -> Tensor:
    """Quantile of an image within the brain; 1 if there is no brain.

    Args:
        image: of any shape.
        brain: bool, same shape.
        share: 0 to 1.
    """
    inside = image[brain]
    return torch.quantile(inside, share) if inside.numel() else image.new_tensor(1.0)


def scaled_to_brain(image: Tensor, brain: Tensor) -> Tensor:
    """Scale an image so that the 99th percentile of the brain is 1.

    Args:
        image: of any shape.
        brain: bool, same shape.
    """
    return (image / brain_quantile(image, brain, 0.99).clamp(min=1e-6)).float()


def mri(
    tissues: Tissues, grid: Grid, contrast: str, rng: np.random.Generator, scanner: Scanner | None = None
) -> Tensor:
    """Simulate an MR image of the tissues on their grid.

    Partial volumes mix linearly. The coil shades the image smoothly, the tissue has a fine texture, and complex
    Gaussian noise makes the magnitude image Rician. FLAIR has small white-matter hyperintensities that no other image
    shows.

    Args:
        tissues: tissue fractions of the grid's shape.
        grid: the grid on which the tissues were evaluated.
        contrast: "t1" or "flair".
        rng: random generator.
        scanner: image quality; None: drawn.

    Returns:
        Image of the grid's shape, about 0-1, zero well outside the brain (as after skull stripping).

    Raises:
        KeyError: the contrast is unknown.
    """
    scanner = Scanner.draw(rng) if scanner is None else scanner
    signal = {tissue: float(rng.uniform(*span)) for tissue, span in CONTRAST[contrast].items()}
    points = grid.points()
    middle = points[len(points) // 2]
    texture = SmoothField(rng, 3, 6.0)(middle)
    bright = tissues.oedema
    if contrast == "flair":
        bright = torch.maximum(bright, 0.8 * torch.sigmoid(8 * (texture[2] - scanner.hyperintensity)))
    wm_signal = signal["wm"] + (signal["oedema"] - signal["wm"]) * bright
    image = signal["gm"] * tissues.gm + wm_signal * tissues.wm + signal["csf"] * tissues.csf
    image = image + signal["viable"] * tissues.viable * (1 + 2 * scanner.texture * texture[0])
    image = image + signal["necrosis"] * tissues.necrosis
    image = image * (1 + scanner.texture * texture[1]) * torch.exp(scanner.bias * SmoothField(rng, 1, 80.0)(middle)[0])
    noise = torch.from_numpy(rng.standard_normal((2, *image.shape), dtype=np.float32)) * scanner.noise
    magnitude = torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
    return magnitude * (tissues.brain > 0.5)
