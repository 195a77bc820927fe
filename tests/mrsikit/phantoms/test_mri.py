"""T1 and FLAIR of a virtual patient."""

import dataclasses

import numpy as np
import pytest
import torch

from mrsikit.phantoms.mri import Scanner, brain_quantile, mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, Tissues

GRID = Grid((96, 112), (1.8, 1.8), (0.0, -4.0, 20.0), thickness=3.0)
CLEAN = Scanner(noise=0.0, bias=0.0, texture=0.0)


@pytest.fixture(scope="module")
def tissues(patient) -> Tissues:
    height = float(patient.tumours.tumours[0].centre[2])
    return patient.tissues(dataclasses.replace(GRID, centre=(0.0, -4.0, height)))


@pytest.mark.parametrize(
    ("contrast", "order"),
    [("t1", ("csf", "gm", "wm")), ("flair", ("csf", "wm", "gm", "viable"))],
)
def test_contrasts_rank_tissues_as_on_a_scanner(tissues, contrast, order):
    for seed in range(5):
        image = mri(tissues, GRID, contrast, np.random.default_rng(seed), CLEAN)
        healthy = (tissues.oedema < 0.05) & (tissues.brain > 0.99)
        means = [float(image[(getattr(tissues, t) > 0.9) & (healthy | (tissues.viable > 0.9))].mean()) for t in order]
        assert means == sorted(means), (seed, means)
        assert image.min() >= 0
        assert image.max() < 1.5


def white_matter(oedema: float = 0.0) -> Tissues:
    """Nothing but white matter on `GRID`, its left half with oedema."""
    parts = {name: torch.zeros(GRID.shape) for name in Tissues.NAMES}
    parts["wm"] += 1
    parts["brain"] += 1
    parts["oedema"][:48] = oedema
    return Tissues(**parts)


def test_oedema_is_bright_on_flair_and_dark_on_t1():
    for seed in range(5):
        for contrast, sign in (("t1", -1), ("flair", 1)):
            image = mri(white_matter(1.0), GRID, contrast, np.random.default_rng(seed), CLEAN)
            assert sign * float(image[:48].mean() - image[48:].mean()) > 0.1


def test_flair_alone_shows_small_lesions_of_white_matter():
    aged = dataclasses.replace(CLEAN, hyperintensity=2.3)
    spots = {}
    for contrast in ("t1", "flair"):
        image = mri(white_matter(), GRID, contrast, np.random.default_rng(2), aged)
        spots[contrast] = float(((image / image.median() - 1).abs() > 0.1).float().mean())
    assert spots["t1"] == 0
    assert 0.001 < spots["flair"] < 0.05


def test_an_image_is_made_of_its_generator_alone_and_is_zero_outside_the_brain(tissues):
    one, again, other = (mri(tissues, GRID, "t1", np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=0.05)
    assert one[tissues.brain < 0.5].abs().max() == 0


def test_noise_shading_and_texture_are_what_the_scanner_says(tissues):
    rng = np.random.default_rng
    clean = mri(tissues, GRID, "t1", rng(5), CLEAN)
    noisy = mri(tissues, GRID, "t1", rng(5), dataclasses.replace(CLEAN, noise=0.03))
    bright = clean > 0.5
    assert float((noisy - clean)[bright].std()) == pytest.approx(0.03, rel=0.1)
    shaded = mri(tissues, GRID, "t1", rng(5), dataclasses.replace(CLEAN, bias=0.14))
    log_ratio = (shaded[bright] / clean[bright]).log()
    assert 0.005 < float(log_ratio.std()) < 0.3
    textured = mri(tissues, GRID, "t1", rng(5), dataclasses.replace(CLEAN, texture=0.05))
    assert float((textured[bright] / clean[bright]).std()) == pytest.approx(0.05, rel=0.5)


def test_noise_without_signal_is_that_of_a_magnitude_image():
    empty = dataclasses.replace(white_matter(), wm=torch.zeros(GRID.shape))
    image = mri(empty, GRID, "t1", np.random.default_rng(0), dataclasses.replace(CLEAN, noise=0.03))
    assert float(image.mean()) == pytest.approx(0.03 * np.sqrt(np.pi / 2), rel=0.03)
    assert image.min() >= 0


def test_images_of_a_volume_and_an_unknown_contrast(patient):
    grid = Grid((12, 14, 10), (14.0, 14.0, 14.0))
    assert mri(patient.tissues(grid), grid, "flair", np.random.default_rng(0)).shape == grid.shape
    with pytest.raises(KeyError, match="t2"):
        mri(patient.tissues(grid), grid, "t2", np.random.default_rng(0))


def test_drawn_scanners_differ():
    rng = np.random.default_rng(0)
    drawn = [Scanner.draw(rng) for _ in range(50)]
    for name in ("noise", "bias", "texture"):
        values = [getattr(s, name) for s in drawn]
        assert 0 < min(values) < 0.6 * max(values) < 0.2, name


def test_an_image_is_scaled_by_what_lies_in_the_brain() -> None:
    image = torch.arange(101.0)
    brain = image < 51
    assert float(brain_quantile(image, brain, 0.9)) == pytest.approx(45)
    assert float(scaled_to_brain(image, brain)[99]) == pytest.approx(2)  # the 99th percentile of 0 to 50 is 49.5
    nothing = torch.zeros(101, dtype=torch.bool)
    torch.testing.assert_close(scaled_to_brain(image, nothing), image)
