import numpy as np

from mrsikit.restoration.inpainting import mean


def test_mean_of_the_non_zero_or_of_the_brain():
    map = np.array([[0, 1, 3], [0, 9, 8]], np.float32)
    missing = np.array([[0, 0, 0], [0, 1, 0]], bool)
    assert mean(map, missing)[1, 1] == 4.0
    brain = np.array([[1, 1, 1], [0, 1, 0]], bool)
    np.testing.assert_allclose(mean(map, missing, brain=brain)[1, 1], 4 / 3, rtol=1e-6)


def test_only_zeros_give_zeros():
    assert (mean(np.zeros((8, 8)), np.eye(8, dtype=bool)) == 0).all()
