import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from mrsikit.restoration.inpainting import biharmonic


def test_it_is_scikit_image_on_the_scaled_map(mni_map, mni_missing):
    expected = inpaint_biharmonic(np.where(mni_missing, 0.0, mni_map), mni_missing, split_into_regions=True)
    np.testing.assert_allclose(biharmonic(mni_map, mni_missing), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 16), (12, 12, 12)], ids=str)
def test_a_ramp_is_continued_exactly(shape):
    ramp = 1.0 + sum(np.indices(shape)) * 1e6
    missing = np.zeros(shape, bool)
    missing[(slice(4, 8),) * len(shape)] = True
    np.testing.assert_allclose(biharmonic(np.where(missing, np.nan, ramp), missing), ramp, rtol=1e-5)
