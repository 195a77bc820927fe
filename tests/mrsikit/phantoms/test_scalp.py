import numpy as np
import pytest

from mrsikit.phantoms.scalp import Scalp, with_scalp


@pytest.mark.parametrize("shape", [(100, 90), (50, 45, 12)])
def test_the_layers_lie_where_they_should(shape: tuple[int, ...]) -> None:
    spacing = (2.0,) * len(shape)
    offsets = np.indices(shape) - np.reshape([n / 2 for n in shape], (-1, *[1] * len(shape)))
    brain = np.hypot(offsets[0], offsets[1]) < min(shape[:2]) / 4
    image = 5.0 * brain
    scalp = Scalp(gap=8, thickness=6, brightness=1.2, marrow=0.1, variation=0)
    out = with_scalp(image, brain, spacing, np.random.default_rng(0), scalp)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[brain], 5)
    beyond = 2 * (np.hypot(offsets[0], offsets[1]) - min(shape[:2]) / 4)
    assert np.median(out[(beyond > 2) & (beyond < 6)]) < 0.8
    assert np.median(out[(beyond > 9.5) & (beyond < 12)]) == pytest.approx(6, rel=0.05)
    assert not out[beyond > 18].any()


def test_the_same_seed_gives_the_same_scalp() -> None:
    brain = np.zeros((40, 40), bool)
    brain[12:28, 12:28] = True
    one, two = (with_scalp(1.0 * brain, brain, (3.0, 3.0), np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    for seed in range(20):
        drawn = Scalp.draw(np.random.default_rng(seed))
        assert 6 <= drawn.gap <= 13
        assert 4 <= drawn.thickness <= 10
        assert drawn.brightness > 2 * drawn.marrow
