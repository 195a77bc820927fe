import numpy as np
import pytest

from mrsikit.simulation.density_matrix import press, simulated_fid
from mrsikit.simulation.spin_systems import SPIN_SYSTEMS, SpinSystem

PROTONS = {
    "Ala": 4, "Asc": 4, "Asp": 3, "Cr": 5, "GABA": 6, "GPC": 18, "GSH": 10, "Gln": 5, "Glu": 5, "Lac": 4, "NAA": 6,
    "NAAG": 11, "PCh": 13, "PCr": 5, "PE": 4, "Tau": 4, "mI": 6, "sI": 6,
}  # fmt: skip
"""That are seen in a molecule, from its formula: those bound to carbon."""


def seen(system: SpinSystem) -> float:
    hidden = (system.phosphorus is not None) + (system.exchanging is not None)
    return system.count * (len(system.shifts) - hidden)


@pytest.mark.parametrize("name", SPIN_SYSTEMS)
def test_a_molecule_has_the_protons_of_its_formula(name: str) -> None:
    assert sum(seen(system) for system in SPIN_SYSTEMS[name]) == PROTONS[name]


@pytest.mark.parametrize("name", SPIN_SYSTEMS)
def test_couplings_are_between_two_spins_and_of_a_size_that_protons_have(name: str) -> None:
    for system in SPIN_SYSTEMS[name]:
        spins = range(len(system.shifts))
        for (one, other), hertz in system.couplings.items():
            assert one in spins
            assert other in spins
            assert one < other
            assert 1 < abs(hertz) < 20
            # only two protons of one carbon pull the other way, and these lie close to each other
            assert hertz > 0 or (hertz < -9 and abs(system.shifts[one] - system.shifts[other]) < 0.25)


def test_hidden_spins_are_those_that_are_none_of_carbon() -> None:
    phosphorus = {name for name, systems in SPIN_SYSTEMS.items() for s in systems if s.phosphorus is not None}
    exchanging = {name for name, systems in SPIN_SYSTEMS.items() for s in systems if s.exchanging is not None}
    assert phosphorus == {"GPC", "PCh", "PE"}
    assert exchanging == {"NAA", "NAAG"}


@pytest.mark.parametrize("name", SPIN_SYSTEMS)
def test_a_fid_begins_with_as_much_signal_as_there_are_protons(name: str) -> None:
    """Right after the pulse, before any coupling has turned anything."""
    fid = simulated_fid(SPIN_SYSTEMS[name], press(1e-5, te1=5e-6, bandwidth=None), points=8, dwell=5e-4)
    np.testing.assert_allclose(fid[0], PROTONS[name], rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "ppm", "protons"), [("NAA", 2.008, 3), ("Cr", 3.027, 3), ("PCr", 3.029, 3), ("GPC", 3.212, 9)]
)
def test_the_tallest_line_is_the_methyls(name: str, ppm: float, protons: int) -> None:
    singlets = [system for system in SPIN_SYSTEMS[name] if len(system.shifts) == 1]
    assert max(singlets, key=lambda system: system.count) == SpinSystem(shifts=(ppm,), count=protons)
