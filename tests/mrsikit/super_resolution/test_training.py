import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution.network import (
    CHANNELS,
    FACTOR,
    FLAIR,
    HAS_FLAIR,
    HAS_T1,
    INTERPOLATED,
    NO_TRUST,
    NOISE,
    NOISE_KNOWN,
    PSF_CHANNEL,
)
from mrsikit.super_resolution.training import RandCoarseMapd, _half

SIDE = 48


@pytest.fixture(scope="module")
def subject() -> dict[str, torch.Tensor]:
    """A disc of tissue, a FLAIR and two lesions; no T1."""
    x, y = torch.meshgrid(torch.arange(float(SIDE)) - 23.5, torch.arange(float(SIDE)) - 23.5, indexing="ij")
    inside = (torch.hypot(x, y) < 20).float()
    texture = 0.8 + 0.2 * torch.sin(x / 3) * torch.cos(y / 4)
    lesions = torch.stack([((x - 6).abs() < 4) & ((y - 5).abs() < 3), (x + 8).abs() + y.abs() < 4]).float()
    return {"map": inside * texture, "flair": inside * (2 - texture), "lesions": lesions}


@pytest.fixture(scope="module")
def pairs(subject: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """120 draws."""
    draw = RandCoarseMapd()
    draw.set_random_state(0)
    return [draw(subject) for _ in range(120)]


def told(pair: dict[str, torch.Tensor]) -> tuple[SpatialEncoding, float]:
    """The encoding, and whether the noise is known."""
    factor, code, known = pair["image"][[FACTOR, PSF_CHANNEL, NOISE_KNOWN], 0, 0].tolist()
    return SpatialEncoding.of(int(code), int(factor)), known


def left(pair: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the coarse map has that the fine one does not explain: its noise."""
    encoding, _ = told(pair)
    return encoding.A(pair["image"][INTERPOLATED]) - encoding.A(pair["label"][0])


def test_a_pair_is_an_input_and_the_truth_with_its_lesions(pairs: list) -> None:
    for pair in pairs:
        assert pair["image"].shape == (CHANNELS, SIDE, SIDE)
        assert pair["label"].shape == (3, SIDE, SIDE)
        assert torch.isfinite(pair["image"]).all()
        assert (pair["image"][HAS_FLAIR] == 1).all()
        assert (pair["image"][HAS_T1] == 0).all()
        assert set(pair["label"][1:].unique().tolist()) <= {0, 0.25, 0.5, 0.75, 1}


def test_kinds_are_drawn_by_their_shares(pairs: list) -> None:
    kinds = [{encoding.factor, encoding.psf, f"known: {known:g}"} for encoding, known in map(told, pairs)]
    for kind, share in ((4, 0.7), ("block", 0.45), ("kspace", 0.35), ("hamming", 0.2), ("known: 1", 0.85)):
        found = sum(kind in drawn for drawn in kinds) / len(kinds)
        assert found == pytest.approx(share, abs=0.13)  # three standard errors


def test_a_share_of_one_leaves_no_other_spread(subject: dict[str, torch.Tensor]) -> None:
    only = RandCoarseMapd(psf=(0, 1, 0))
    only.set_random_state(1)
    assert {told(only(subject))[0].psf for _ in range(5)} == {"kspace"}


def test_without_noise_the_truth_measured_is_the_map(pairs: list) -> None:
    silent = [p for p in pairs if told(p)[1] and p["image"][NOISE].max() == 0 and told(p)[0].psf != "hamming"]
    assert len(silent) > 10
    for pair in silent:
        assert left(pair).abs().max() < 1e-4
        assert float(told(pair)[0].A(pair["label"][0]).max()) == pytest.approx(1, abs=0.05)


def test_the_noise_told_is_that_of_the_map(pairs: list) -> None:
    ratios = []
    for pair in pairs:
        encoding, known = told(pair)
        level = SpatialEncoding("block", encoding.factor).A(pair["image"][NOISE])
        if known and encoding.psf == "block" and level.min() > 0 and level.max() < NO_TRUST / 2:
            tissue = encoding.A(pair["label"][0]) > 0.1
            ratios.append((left(pair)[tissue] / level[tissue]).square().mean())
    assert len(ratios) > 8
    assert float(torch.stack(ratios).mean().sqrt()) == pytest.approx(1, abs=0.1)


def test_some_heads_are_half_the_size(pairs: list, subject: dict[str, torch.Tensor]) -> None:
    area = (subject["map"] > 0).float().mean()
    share = torch.stack([(pair["label"][0] > 0).float().mean() for pair in pairs]) / area
    small = share < 0.5
    assert 0.05 < float(small.float().mean()) < 0.27
    torch.testing.assert_close(share[small], torch.full((int(small.sum()),), 0.25), atol=0.06, rtol=0)
    assert (share[~small] > 0.99).all()
    for pair, is_small in zip(pairs, small, strict=True):  # and their MRIs and lesions with them
        assert ((pair["image"][FLAIR] > 0).float().mean() < 0.5 * area) == is_small
        assert (pair["label"][1:].sum() < 0.5 * subject["lesions"].sum()) == is_small


def test_a_half_sized_image_by_hand() -> None:
    image = torch.arange(16.0).reshape(4, 4)
    expected = torch.zeros(4, 4)
    expected[1:3, 1:3] = torch.tensor([[2.5, 4.5], [10.5, 12.5]])
    torch.testing.assert_close(_half(image), expected)
    torch.testing.assert_close(_half(torch.stack([image, 2 * image])), torch.stack([expected, 2 * expected]))


def test_a_seed_is_a_pair(subject: dict[str, torch.Tensor]) -> None:
    draws = []
    for seed in (3, 3, 4):
        draw = RandCoarseMapd()
        draw.set_random_state(seed)
        draws.append(draw(subject)["image"])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_noise_that_varies_can_be_higher_at_the_rim(subject: dict[str, torch.Tensor]) -> None:
    """Means over draws of the noise in the outermost voxels of the disc over that in its middle."""
    ratios = []
    for rim in (0.0, 2.0):
        draw = RandCoarseMapd(psf=(1, 0, 0), noisiest=0.1, rim=rim)
        draw.set_random_state(1)
        found = []
        for _ in range(160):
            level = draw(subject)["image"][NOISE]
            if level.std() > 0 and level.min() > 0:  # known, and it varies
                found.append(float(level[16:32, 4:8].median() / level[16:32, 22:26].median()))
        ratios.append(sum(found) / len(found))
    assert ratios[1] > 1.2 * ratios[0]
