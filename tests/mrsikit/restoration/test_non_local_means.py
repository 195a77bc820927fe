import itertools
import math

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_nl_means

from mrsikit.restoration.non_local_means import feature_non_local_means, mri_features, non_local_means, offsets


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loop(image: np.ndarray, distance, window: int) -> np.ndarray:
    """The definition, voxel by voxel."""
    out = np.zeros_like(image)
    half = window // 2
    for here in np.ndindex(image.shape):
        total = weight = 0.0
        for step in itertools.product(range(-half, half + 1), repeat=image.ndim):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            if all(0 <= t < n for t, n in zip(there, image.shape, strict=True)):
                w = math.exp(-distance(here, there))
                total, weight = total + w * image[there], weight + w
        out[here] = total / weight
    return out


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)])
@pytest.mark.parametrize("spread", [None, 0.8, "map"])
def test_features_average_as_the_plain_loop(shape: tuple[int, ...], spread: object) -> None:
    image, features = noise(2, *shape), noise(2, 3, *shape, seed=1)
    h = 0.5 + noise(2, *shape, seed=2).abs() if spread == "map" else spread
    found = feature_non_local_means(image, features, window=5, h_features=0.7, h_image=h)
    for b in range(2):
        x, f = image[b].double().numpy(), features[b].double().numpy()
        width = h[b].double().numpy() if spread == "map" else np.full(shape, np.inf if spread is None else spread)

        def distance(i, j, x=x, f=f, width=width):
            apart = ((f[(..., *i)] - f[(..., *j)]) ** 2).sum() / (3 * 0.7**2)
            return apart + (x[i] - x[j]) ** 2 / (width[i] * width[j])

        np.testing.assert_allclose(found[b], loop(x, distance, 5), atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 11), (5, 6, 7)])
def test_patches_average_as_the_plain_loop(shape: tuple[int, ...]) -> None:
    image = noise(2, *shape)
    found = non_local_means(image, h=torch.tensor([0.6, 1.1]), window=5, patch=3)
    for b, h in enumerate((0.6, 1.1)):
        x = image[b].double().numpy()
        padded = np.pad(x, 1, mode="reflect")

        def distance(i, j, padded=padded, h=h):
            one, other = (padded[tuple(slice(a, a + 3) for a in at)] for at in (i, j))
            return ((one - other) ** 2).mean() / h**2

        np.testing.assert_allclose(found[b], loop(x, distance, 5), atol=1e-5)


def test_denoises_as_well_as_scikit_image() -> None:
    truth = torch.zeros(1, 64, 64)
    truth[:, 16:48, 20:44], truth[:, 28:36, 28:36] = 1, 0.4
    noisy = truth + 0.1 * noise(1, 64, 64)
    ours = non_local_means(noisy, h=0.1, window=11, patch=5)
    theirs = denoise_nl_means(noisy[0].numpy(), patch_size=5, patch_distance=5, h=0.1, fast_mode=False)
    before, after = (noisy - truth).square().mean(), (ours - truth).square().mean()
    assert after < 0.15 * before
    assert after < 1.3 * (torch.from_numpy(theirs) - truth[0]).square().mean()


def test_an_mri_keeps_its_edges_and_the_image_its_lesions() -> None:
    """Averaged along the MRI; with its own term a spot that the MRI does not show stays."""
    mri = torch.zeros(1, 48, 48)
    mri[:, :, 24:] = 1
    image = mri.clone()
    image[:, 20:26, 8:14] = 1
    noisy = image + 0.1 * noise(1, 48, 48)
    features = mri_features([mri], torch.ones_like(mri))
    plain = feature_non_local_means(noisy, features, h_features=0.3)
    kept = feature_non_local_means(noisy, features, h_features=0.3, h_image=0.3)
    edge = (slice(None), slice(30, 48), slice(18, 30))
    assert (plain - image)[edge].square().mean() < 0.2 * (noisy - image)[edge].square().mean()
    spot = (slice(None), slice(20, 26), slice(8, 14))
    assert plain[spot].mean() < 0.5
    assert kept[spot].mean() > 0.9
    assert (kept - image).square().mean() < 0.5 * (noisy - image).square().mean()


def test_features_are_those_of_the_brain_and_of_no_unit() -> None:
    image = noise(2, 20, 22, 10)
    brain = torch.zeros_like(image)
    brain[:, 4:16, 4:16, 2:8] = 1
    found = mri_features([image, 3 * image], brain)
    assert found.shape == (2, 14, 20, 22, 10)
    torch.testing.assert_close(found[:, :7], found[:, 7:], atol=1e-4, rtol=1e-4)
    inside = found[:, :, 4:16, 4:16, 2:8].flatten(2)
    torch.testing.assert_close(inside.std(2, correction=0), torch.ones(2, 14), atol=1e-4, rtol=0)
    assert mri_features([image], torch.zeros_like(image)).isfinite().all()


def test_profiles_run_across_an_edge() -> None:
    """Below a step, what lies along the gradient is beyond it, and what lies against it is not."""
    step = torch.zeros(1, 16, 12)
    step[:, 8:] = 1
    found = mri_features([step], torch.ones_like(step))[0, :, :, 6]
    for k, beyond in ((3, True), (4, False), (5, True), (6, False)):
        assert float(found[k, 7]) == pytest.approx(float(found[k].max() if beyond else found[k].min()), abs=1e-4)


def test_each_pair_of_offsets_once() -> None:
    found = offsets(5, 3)
    assert len(found) == (5**3 - 1) // 2
    assert not {tuple(-a for a in o) for o in found} & set(found)


@pytest.mark.parametrize("slices", [1, 2])
def test_thin_volumes_are_averaged_as_slices_are(slices: int) -> None:
    image = noise(1, 12, 13)
    thick = image[..., None].expand(1, 12, 13, slices).contiguous()
    flat, found = non_local_means(image, h=0.8), non_local_means(thick, h=0.8)
    torch.testing.assert_close(found, flat[..., None].expand_as(found), atol=1e-4, rtol=0)
    assert mri_features([thick], torch.ones_like(thick)).isfinite().all()


def test_even_sides_are_refused() -> None:
    image = noise(1, 12, 13)
    with pytest.raises(ValueError, match="odd"):
        non_local_means(image, h=1, patch=4)
    with pytest.raises(ValueError, match="odd"):
        feature_non_local_means(image, image[:, None], window=6)
