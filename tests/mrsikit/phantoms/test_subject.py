"""Virtual patients: equal from a seed, equal on every grid, and fractions everywhere."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mrsikit.phantoms.subject import Grid, Tissues, VirtualSubject
from mrsikit.phantoms.tumour import TumourSet

VOLUME = Grid((18, 22, 16), (9.0, 9.0, 9.0), (0.0, -4.0, 2.0))


def test_the_affine_of_a_grid_gives_its_points():
    for grid in (Grid((5, 7), (3.0, 2.0), (1.0, -4.0, 20.0), thickness=6.0), Grid((4, 5, 6), (3, 2, 5), (9, -9, 1))):
        index = np.indices((*grid.shape, 1)[:3]).reshape(3, -1)
        expected = grid.affine()[:3, :3] @ index + grid.affine()[:3, 3:]
        np.testing.assert_allclose(grid.points()[0].reshape(-1, 3).numpy().T, expected, atol=1e-5)


def test_sub_samples_are_spread_evenly_and_symmetrically_in_the_voxel():
    grid = Grid((2, 3), (4.0, 4.0), thickness=8.0, subsamples=(2, 1, 4))
    samples = torch.stack(grid.points())
    assert samples.shape == (8, 2, 3, 3)
    torch.testing.assert_close(samples.mean(0), Grid((2, 3), (4.0, 4.0)).points()[0])
    assert sorted(set(samples[:, 0, 0, 2].tolist())) == [-3, -1, 1, 3]
    assert sorted(set(samples[:, 0, 0, 0].tolist())) == [-3, -1]


def test_a_seed_makes_the_same_patient_and_touches_no_global_random_state(template):
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    grid = Grid((24, 24), (8.0, 8.0), (0.0, 0.0, 10.0))
    one, again, other = (VirtualSubject(seed, anatomy=template).tissues(grid).stacked() for seed in (11, 11, 12))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=0.05)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("subsamples", [(1, 1, 1), (1, 1, 3)], ids=str)
def test_a_slice_is_the_same_slice_of_the_volume(patient, subsamples):
    whole = dataclasses.replace(VOLUME, subsamples=subsamples)
    volume = patient.tissues(whole).stacked()
    for k in (0, 7, 12):
        height = float(whole.affine()[2, 2] * k + whole.affine()[2, 3])
        plane = Grid(whole.shape[:2], whole.spacing[:2], (*whole.centre[:2], height), whole.spacing[2], subsamples)
        torch.testing.assert_close(patient.tissues(plane).stacked(), volume[..., k], atol=1e-4, rtol=0)


def test_a_part_of_a_volume_is_that_part(patient):
    volume = patient.tissues(VOLUME).stacked()
    corner = [2, 5, 3]
    centre = VOLUME.affine()[:3, :3] @ (np.array(corner) + [3.5, 2.5, 4.5]) + VOLUME.affine()[:3, 3]
    part = patient.tissues(Grid((8, 6, 10), VOLUME.spacing, tuple(map(float, centre)))).stacked()
    torch.testing.assert_close(part, volume[:, 2:10, 5:11, 3:13], atol=1e-4, rtol=0)


def test_a_voxel_is_the_mean_of_its_sub_samples(patient):
    fine = patient.tissues(Grid((40, 48, 4), (4.5, 4.5, 3.0), (0.0, 0.0, 20.0))).stacked()
    coarse = patient.tissues(Grid((20, 24, 2), (9.0, 9.0, 6.0), (0.0, 0.0, 20.0), subsamples=(2, 2, 2))).stacked()
    torch.testing.assert_close(coarse, F.avg_pool3d(fine[None], 2)[0], atol=1e-4, rtol=0)
    centres = patient.tissues(Grid((20, 24, 2), (9.0, 9.0, 6.0), (0.0, 0.0, 20.0))).stacked()
    assert (coarse - centres).abs().max() > 0.2


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_fractions_lie_in_0_to_1_and_fill_no_voxel_twice(template, seed):
    subject = VirtualSubject(seed, anatomy=template, tumours=seed % 3, grade=("low", "high")[seed % 2])
    tissues = subject.tissues(Grid((26, 32, 22), (7.0, 7.0, 7.0)))
    stacked = tissues.stacked()
    assert torch.isfinite(stacked).all()
    assert stacked.min() >= 0
    assert stacked.max() <= 1 + 1e-5
    total = tissues.gm + tissues.wm + tissues.csf + tissues.viable + tissues.necrosis
    assert total.max() <= 1 + 1e-4
    assert total[tissues.brain > 0.99].min() > 0.95
    assert total[tissues.brain < 0.01].max() < 0.05
    assert bool(tissues.tumour.max() > 0.5) == (seed % 3 > 0)


def test_a_patient_has_the_tissues_of_a_head(template):
    litres = {"gm": [], "wm": [], "csf": [], "brain": []}
    for seed in range(3):
        tissues = VirtualSubject(seed, anatomy=template, tumours=0).tissues(Grid((25, 30, 25), (8.0, 8.0, 8.0)))
        for name, volumes in litres.items():
            volumes.append(float(getattr(tissues, name).sum()) * 512e-6)
    mean = {name: np.mean(volumes) for name, volumes in litres.items()}
    assert 0.6 < mean["gm"] < 1.3
    assert 0.35 < mean["wm"] < 0.8
    assert 0.08 < mean["csf"] < 0.5
    assert 1.2 < mean["brain"] < 2.1


def test_sulci_hold_csf_and_depth_is_sharp(template):
    tissues = VirtualSubject(8, anatomy=template, tumours=0).tissues(Grid((160, 190), (1.0, 1.0), (0.0, 0.0, 40.0)))
    largest = torch.stack([tissues.gm, tissues.wm, tissues.csf]).max(0).values[tissues.brain > 0.99]
    blurred = template.look_up(Grid((160, 190), (1.0, 1.0), (0.0, 0.0, 40.0)).points()[0])[:3].max(0).values
    assert (largest > 0.8).float().mean() > (blurred[blurred > 0.3] > 0.8).float().mean() + 0.1
    assert ((tissues.csf > 0.5) & (tissues.brain > 0.99)).sum() > 0.02 * (tissues.brain > 0.99).sum()


def test_ventricles_grow_with_their_growth(template):
    grid = Grid((40, 48, 30), (3.0, 3.0, 3.0), (0.0, -12.0, 12.0))
    volumes = []
    for growth in (-2.0, 1.0, 4.0):
        subject = VirtualSubject(5, anatomy=template, tumours=0)
        subject.ventricle_growth = growth
        volumes.append(float(subject.tissues(grid).ventricles.sum()))
    assert volumes[0] < volumes[1] < volumes[2]
    assert volumes[2] > 3 * volumes[0]


def test_the_number_grade_and_size_of_the_tumours_can_be_chosen(template):
    for number, grade in ((0, None), (1, "low"), (2, "high")):
        drawn = VirtualSubject(9, anatomy=template, tumours=number, grade=grade, tumour_radius=12.0).tumours.tumours
        assert [(t.grade, t.radius) for t in drawn] == [(grade, 12.0)] * number
    by_chance = {len(VirtualSubject(seed, anatomy=template).tumours.tumours) for seed in range(24)}
    assert by_chance == {0, 1, 2}


def test_tumours_lie_in_the_brain(template):
    for seed in range(5):
        subject = VirtualSubject(seed, anatomy=template, tumours=1)
        centre = tuple(map(float, subject.tumours.tumours[0].centre))
        inside = subject.tissues(Grid((3, 3, 3), (2.0, 2.0, 2.0), centre))
        assert inside.brain.min() > 0.99
        assert inside.tumour.mean() > 0.5


def test_without_deformation_the_anatomy_is_shown_as_it_is(phantom):
    grid = Grid((20, 20), (8.0, 8.0))
    tissues = VirtualSubject(1, anatomy=phantom, tumours=0, deform=False).tissues(grid)
    expected = phantom.look_up(grid.points()[0])
    deep = expected[3] > 6
    torch.testing.assert_close(tissues.gm[deep], expected[0][deep], atol=1e-3, rtol=0)
    deformed = VirtualSubject(1, anatomy=phantom, tumours=0).tissues(grid)
    assert (deformed.gm - tissues.gm).abs().max() > 0.2


def test_a_growing_tumour_pushes_tissue_away(phantom):
    """The border between white and grey matter, at x = 0, moves away from a tumour on its left."""
    subject = VirtualSubject(1, anatomy=phantom, tumours=1, deform=False, grade="high", tumour_radius=16.0)
    tumour = dataclasses.replace(subject.tumours.tumours[0], centre=torch.tensor([-22.0, 40.0, 0.0]), margin=0.8)
    line = Grid((161, 1, 1), (0.5, 1.0, 1.0), (0.0, 40.0, 0.0))
    position = line.points()[0][:, 0, 0, 0]
    border = {}
    for mass_effect in (0.0, 0.4):
        subject.tumours = TumourSet(
            np.random.default_rng(0),
            [dataclasses.replace(tumour, mass_effect=mass_effect, oedema=0.0, irregularity=0.0)],
        )
        tissues = subject.tissues(line)
        white = (tissues.wm > tissues.gm)[:, 0, 0] & (position > -6)
        border[mass_effect] = float(position[white].max()) if white.any() else -6.0
    assert border[0.0] == pytest.approx(-1, abs=2.5)
    pushed_back = float(border[0.4] - 0.4 * (border[0.4] + 22) * np.exp(-(((border[0.4] + 22) / (1.6 * 16)) ** 2)))
    assert pushed_back == pytest.approx(border[0.0], abs=1.0)
    assert border[0.4] > border[0.0] + 2


def test_a_users_own_tumour_stays_and_a_drawn_one_does_not_count_twice(phantom):
    own = torch.zeros(phantom.maps.shape[1:])
    own[30:36, 20:28, 20:28] = 1
    keep = 1 - own
    maps = torch.cat([phantom.maps[:3] * keep, phantom.maps[3:]])
    anatomy = dataclasses.replace(phantom, maps=maps, tumour=own)
    grid = Grid((40, 40, 40), (4.0, 4.0, 4.0))
    alone = VirtualSubject(2, anatomy=anatomy, tumours=0, deform=False).tissues(grid)
    assert float(alone.viable.sum()) == pytest.approx(float(own.sum()), rel=0.02)
    both = VirtualSubject(2, anatomy=anatomy, tumours=2, deform=False, tumour_radius=20.0).tissues(grid)
    assert both.viable.sum() > alone.viable.sum()
    assert (both.gm + both.wm + both.csf + both.tumour).max() <= 1 + 1e-4


def test_stacked_tissues_keep_their_order():
    values = torch.arange(8.0)
    tissues = Tissues(*values)
    assert torch.equal(tissues.stacked(), values)
    assert tissues.tumour == tissues.viable + tissues.necrosis


def test_some_patients_tissues_are_as_crisp_as_a_classifiers(template):
    patient = VirtualSubject(3, anatomy=template, tumours=0)
    shares = []
    for patient.crispness in (1.0, 4.0):
        tissues = patient.tissues(Grid((80, 95), (2.0, 2.0), (0.0, 0.0, 40.0)))
        inside = tissues.brain > 0.99
        purest = torch.stack([tissues.gm, tissues.wm, tissues.csf]).amax(0)[inside]
        shares.append(float((purest > 0.95).float().mean()))
    assert shares[1] > shares[0] + 0.2
    drawn = [VirtualSubject(seed, anatomy=template, tumours=0).crispness for seed in range(20)]
    assert 3 < sum(c == 1 for c in drawn) < 17
    assert max(drawn) > 2
