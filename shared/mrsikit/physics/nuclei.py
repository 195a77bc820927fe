"""Nuclei and their resonances in vivo: one table per nucleus, each value with its source.

Sources of the relaxation times of deuterium:

- [C] DeuteMetCon's tables of human brain: T1 and T2 at 4 and 7 T.
- [R] Ruhm 2021, human brain at 9.4 T, doi:10.1016/j.neuroimage.2021.118639: T2*.
- [P] rat brain at 11.7 T: rounded literature values that the PRECISE-DMI simulations use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Resonance:
    """One peak of a spectrum.

    Attributes:
        name: name of the compound, as it appears in file names.
        ppm: chemical shift (ppm).
        t2_star: apparent transverse relaxation time (s), by field (T).
        t1: longitudinal relaxation time (s), by field (T).
        nuclei: number of labelled nuclei per molecule that give this signal.
    """

    name: str
    ppm: float
    t2_star: dict[float, float] = field(default_factory=dict)
    t1: dict[float, float] = field(default_factory=dict)
    nuclei: float = 1.0

    def t2_star_at(self, tesla: float) -> float:
        """Apparent transverse relaxation time (s) at the field of the table nearest to ``tesla`` (T).

        Raises:
            KeyError: the table holds no value for this compound.
        """
        return _nearest(self.t2_star, tesla, f"T2* of {self.name}")

    def t2_star_field(self, tesla: float) -> float:
        """Field (T) at which the value that :meth:`t2_star_at` returns was measured."""
        return min(self.t2_star, key=lambda known: abs(known - tesla))

    def t1_at(self, tesla: float) -> float:
        """Longitudinal relaxation time (s) at the field of the table nearest to ``tesla`` (T).

        Raises:
            KeyError: the table holds no value for this compound.
        """
        return _nearest(self.t1, tesla, f"T1 of {self.name}")


@dataclass(frozen=True, kw_only=True)
class Nucleus:
    """A nucleus and its resonances.

    Attributes:
        name: name as in the NIfTI-MRS header, for example ``2H``.
        gamma: gyromagnetic ratio over 2 pi (MHz/T).
        reference: chemical shift (ppm) of zero frequency, unless a file states another.
        shown: range of a displayed spectrum (ppm).
        resonances: resonances by name.
    """

    name: str
    gamma: float
    reference: float
    shown: tuple[float, float]
    resonances: dict[str, Resonance] = field(default_factory=dict)

    def field_of(self, frequency: float) -> float:
        """Magnetic field (T) at a Larmor frequency (MHz)."""
        return frequency / self.gamma


def nearest_lines(ppm: Sequence[float]) -> float:
    """Smallest distance (ppm) of two of the lines; 2 ppm if there is only one line."""
    ordered = sorted(ppm)
    return min((b - a for a, b in zip(ordered[:-1], ordered[1:], strict=True)), default=2.0)


def _nearest(table: dict[float, float], tesla: float, what: str) -> float:
    if not table:
        raise KeyError(f"{what} is in no table; give it in the config")
    return table[min(table, key=lambda known: abs(known - tesla))]


def _by_name(*resonances: Resonance) -> dict[str, Resonance]:
    return {resonance.name: resonance for resonance in resonances}


DEUTERIUM = Nucleus(
    name="2H",
    gamma=6.53569,
    reference=4.7,
    shown=(0.0, 7.0),
    resonances=_by_name(
        Resonance(  # natural abundance, plus label that glycolysis and the Krebs cycle transfer to water
            name="water",
            ppm=4.7,
            t2_star={4.0: 0.026, 7.0: 0.029, 9.4: 0.0209, 11.74: 0.030},  # C C R P
            t1={4.0: 0.346, 7.0: 0.283},  # C
        ),
        Resonance(  # [6,6'-2H2]-glucose
            name="Glc",
            ppm=3.7,
            t2_star={4.0: 0.042, 7.0: 0.044, 9.4: 0.0144, 11.74: 0.030},  # C C R P
            t1={4.0: 0.067, 7.0: 0.066},  # C
            nuclei=2.0,
        ),
        Resonance(  # glutamate and glutamine labelled at C4
            name="Glx",
            ppm=2.4,
            t2_star={4.0: 0.053, 7.0: 0.053, 9.4: 0.0227, 11.74: 0.035},  # C C R P
            t1={4.0: 0.139, 7.0: 0.149},  # C
        ),
        Resonance(  # lactate labelled at C3
            name="Lac",
            ppm=1.3,
            t2_star={4.0: 0.053, 7.0: 0.053, 9.4: 0.0239, 11.74: 0.060},  # 4 and 7 T: Glx's, for lack of data; R P
            t1={4.0: 0.139, 7.0: 0.149},  # Glx's: not measured for lactate in human brain
            nuclei=2.0,
        ),
        Resonance(name="acetate", ppm=1.9, t2_star={11.74: 0.040}, nuclei=3.0),
        Resonance(name="choline", ppm=3.2, t2_star={11.74: 0.030}, nuclei=9.0),
    ),
)

NUCLEI = {
    nucleus.name: nucleus
    for nucleus in (
        DEUTERIUM,
        Nucleus(name="1H", gamma=42.57748, reference=4.68, shown=(0.2, 4.2)),
        Nucleus(name="13C", gamma=10.7084, reference=0.0, shown=(0.0, 200.0)),
        Nucleus(name="31P", gamma=17.2351, reference=0.0, shown=(-20.0, 10.0)),
    )
}
"""Nuclei by their NIfTI-MRS name."""
