"""Spin systems of the metabolites in proton spectra of the brain: chemical shifts and scalar couplings.

Chemical shifts (ppm) and couplings (Hz) are from the literature:

- Govindaraju V, Young K, Maudsley AA. NMR Biomed 13 (2000) 129-153 and 28 (2015) 923-924: all that is not named below;
- Near J et al. NMR Biomed 26 (2013) 1353-1362: GABA;
- Kaiser LG et al. NMR Biomed 23 (2010): glutathione.

Couplings to nitrogen are left out: they are small and partly self-decoupled. Protons that exchange with water are left
out unless others couple with them; even then their own signal is not detected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SpinSystem:
    """Spins that couple with each other, or equivalent spins without coupling.

    Attributes:
        shifts: chemical shift (ppm) of each spin.
        couplings: scalar coupling (Hz), by the indices of two spins.
        count: how often the molecule holds the system, or how many equivalent protons one spin stands for.
        phosphorus: index of a 31P nucleus; no pulse rotates it, and its shift has no meaning.
        exchanging: index of a proton that exchanges with water; its signal is not detected.
    """

    shifts: tuple[float, ...]
    couplings: Mapping[tuple[int, int], float] = field(default_factory=dict)
    count: float = 1.0
    phosphorus: int | None = None
    exchanging: int | None = None


def _singlet(ppm: float, protons: float) -> SpinSystem:
    return SpinSystem(shifts=(ppm,), count=protons)


SPIN_SYSTEMS: dict[str, tuple[SpinSystem, ...]] = {
    "Ala": (
        SpinSystem(shifts=(3.7746, 1.4667, 1.4667, 1.4667), couplings={(0, 1): 7.234, (0, 2): 7.234, (0, 3): 7.234}),
    ),
    "Asc": (
        SpinSystem(
            shifts=(4.492, 4.002, 3.743, 3.716),
            couplings={(0, 1): 2.07, (1, 2): 6.0, (1, 3): 4.6, (2, 3): -11.5},
        ),
    ),
    "Asp": (
        SpinSystem(shifts=(3.8914, 2.8011, 2.6533), couplings={(0, 1): 3.647, (0, 2): 9.107, (1, 2): -17.426}),
    ),
    "Cr": (_singlet(3.913, 2), _singlet(3.027, 3)),
    "GABA": (
        SpinSystem(
            shifts=(2.284, 2.284, 1.888, 1.888, 3.013, 3.013),
            couplings={
                (0, 1): -15.938, (0, 2): 7.678, (0, 3): 6.980, (1, 2): 6.980, (1, 3): 7.678, (2, 3): -15.0,
                (2, 4): 8.510, (2, 5): 6.503, (3, 4): 6.503, (3, 5): 8.510, (4, 5): -14.062,
            },
        ),
    ),
    "GPC": (
        _singlet(3.212, 9),
        SpinSystem(
            shifts=(3.605, 3.672, 3.903, 3.871, 3.946, 0.0),
            couplings={
                (0, 1): -14.78, (0, 2): 5.77, (1, 2): 4.53, (2, 3): 5.77, (2, 4): 4.53, (3, 4): -14.78,
                (3, 5): 6.03, (4, 5): 6.03,
            },
            phosphorus=5,
        ),
        SpinSystem(
            shifts=(4.312, 4.312, 3.659, 3.659, 0.0),
            couplings={
                (0, 1): -9.32, (0, 2): 3.10, (0, 3): 5.90, (1, 2): 5.90, (1, 3): 3.10, (2, 3): -9.32,
                (0, 4): 6.03, (1, 4): 6.03,
            },
            phosphorus=4,
        ),
    ),
    "GSH": (
        _singlet(3.769, 2),
        SpinSystem(shifts=(4.5608, 2.9264, 2.9747), couplings={(0, 1): 7.09, (0, 2): 4.71, (1, 2): -14.06}),
        SpinSystem(
            shifts=(3.769, 2.159, 2.146, 2.510, 2.560),
            couplings={
                (0, 1): 6.34, (0, 2): 6.36, (1, 2): -15.48, (1, 3): 6.7, (1, 4): 7.6, (2, 3): 7.6, (2, 4): 6.7,
                (3, 4): -15.92,
            },
        ),
    ),
    "Gln": (
        SpinSystem(
            shifts=(3.753, 2.129, 2.109, 2.432, 2.454),
            couplings={
                (0, 1): 5.847, (0, 2): 6.5, (1, 2): -14.504, (1, 3): 9.165, (1, 4): 6.347, (2, 3): 6.324,
                (2, 4): 9.209, (3, 4): -15.371,
            },
        ),
    ),
    "Glu": (
        SpinSystem(
            shifts=(3.7433, 2.0375, 2.1200, 2.3378, 2.3520),
            couplings={
                (0, 1): 7.331, (0, 2): 4.651, (1, 2): -14.849, (1, 3): 6.413, (1, 4): 8.406, (2, 3): 8.478,
                (2, 4): 6.875, (3, 4): -15.915,
            },
        ),
    ),
    "Lac": (
        SpinSystem(shifts=(4.0974, 1.3142, 1.3142, 1.3142), couplings={(0, 1): 6.933, (0, 2): 6.933, (0, 3): 6.933}),
    ),
    "NAA": (
        _singlet(2.008, 3),
        SpinSystem(
            shifts=(7.8205, 4.3817, 2.6727, 2.4863),
            couplings={(0, 1): 6.4, (1, 2): 3.861, (1, 3): 9.821, (2, 3): -15.592},
            exchanging=0,
        ),
    ),
    "NAAG": (
        _singlet(2.042, 3),
        SpinSystem(
            shifts=(4.607, 2.721, 2.519, 8.260),
            couplings={(0, 1): 4.412, (0, 2): 9.515, (0, 3): 7.32, (1, 2): -15.91},
            exchanging=3,
        ),
        SpinSystem(
            shifts=(4.128, 2.049, 1.881, 2.180, 2.190, 7.950),
            couplings={
                (0, 1): 4.61, (0, 2): 8.42, (0, 5): 7.46, (1, 2): -14.28, (1, 3): 10.56, (1, 4): 6.09, (2, 3): 4.9,
                (2, 4): 11.11, (3, 4): -15.28,
            },
            exchanging=5,
        ),
    ),
    "PCh": (
        _singlet(3.208, 9),
        SpinSystem(
            shifts=(4.2805, 4.2805, 3.641, 3.641, 0.0),
            couplings={
                (0, 1): -14.89, (0, 2): 2.284, (0, 3): 7.231, (1, 2): 7.326, (1, 3): 2.235, (2, 3): -14.19,
                (0, 4): 6.298, (1, 4): 6.249,
            },
            phosphorus=4,
        ),
    ),
    "PCr": (_singlet(3.93, 2), _singlet(3.029, 3)),
    "PE": (
        SpinSystem(
            shifts=(3.9765, 3.9765, 3.216, 3.216, 0.0),
            couplings={
                (0, 1): -14.56, (0, 2): 3.182, (0, 3): 6.716, (1, 2): 7.204, (1, 3): 2.98, (2, 3): -14.71,
                (0, 4): 7.288, (1, 4): 7.088,
            },
            phosphorus=4,
        ),
    ),
    "Tau": (
        SpinSystem(
            shifts=(3.4206, 3.4206, 3.2459, 3.2459),
            couplings={(0, 2): 6.742, (0, 3): 6.464, (1, 2): 6.403, (1, 3): 6.792},
        ),
    ),
    "mI": (
        SpinSystem(
            shifts=(3.5217, 4.0538, 3.5217, 3.6144, 3.269, 3.6144),
            couplings={
                (0, 1): 2.889, (0, 5): 9.998, (1, 2): 3.006, (2, 3): 9.997, (3, 4): 9.485, (4, 5): 9.482,
            },
        ),
    ),
    "sI": (_singlet(3.34, 6),),
}  # fmt: skip
"""Spin systems by the names that NIfTI-MRS basis sets use."""
