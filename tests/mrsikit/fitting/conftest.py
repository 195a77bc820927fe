"""Four lines of deuterium at 11.7 T, of known amplitudes."""

import torch

from mrsikit.physics.fid_model import FidModel

MODEL = FidModel(
    ppm=(4.7, 3.7, 2.4, 1.3),
    t2_star=(0.03, 0.03, 0.035, 0.06),
    larmor=76.7,
    reference=4.7,
    dwell=4e-4,
    points=512,
    delay=6e-4,
)
TRUTH = torch.tensor([10.0, 2.0, 3.0, 1.0])
