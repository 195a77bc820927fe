import numpy as np
import pytest
import torch

from mrsikit.physics.spatial_encoding import SpatialEncoding
from mrsikit.super_resolution import scale_check
from mrsikit.super_resolution.inferer import super_resolved
from mrsikit.super_resolution.network import FLAIR, INTERPOLATED, TV
from mrsikit.super_resolution.scale_check import (
    COLUMNS,
    ERROR,
    FEWEST,
    INTERPOLATION,
    LITTLE,
    METHODS,
    NETWORK,
    NOT_ASKED,
    QUIET,
    SMALL,
    SPREAD,
    WEIGHT,
    WITH_MRI,
    Coarse,
    Estimates,
    blended,
    check_across_scales,
    check_records,
    summary_of,
    without_mri,
)

SIGMA = 0.05
PLACE = {name: k for k, name in enumerate(COLUMNS)}


def head(factor: int, side: int = 128) -> torch.Tensor:
    """Discs in a disc, (1, side, side): edges that interpolation blurs, and nothing else."""
    x, y = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    image = 0.6 * (torch.hypot(x - side / 2, y - side / 2) < 0.42 * side).float()
    for k in range(6):
        angle = torch.tensor(1.05 * k)
        centre = side / 2 + 0.25 * side * torch.stack([angle.cos(), angle.sin()])
        image[torch.hypot(x - centre[0], y - centre[1]) < side / (9 + 4 * k)] = 1.0 if k % 2 else 0.3
    return image[None]


def measured(psf: str, factor: int, sigma: float = SIGMA, seed: int = 0) -> tuple[Coarse, torch.Tensor]:
    truth, encoding = head(factor), SpatialEncoding(psf, factor)
    clean = encoding.A(truth)
    noise = encoding.coloured(torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)))
    start = encoding.interpolate(clean + sigma * noise).movedim(0, -1)
    return Coarse(start, torch.full_like(start, sigma), {"flair": truth.movedim(0, -1)}, encoding), truth


def by_the_mri(good: bool):
    """A network that gives the MRI, right or shifted by three voxels, if it has one; else the interpolation."""

    def network(x: torch.Tensor) -> torch.Tensor:
        guided = x[:, FLAIR] if good else x[:, FLAIR].roll(3, 1)
        image = torch.where((x[:, FLAIR] != 0).flatten(1).any(1)[:, None, None], guided, x[:, INTERPOLATED])
        return torch.stack([image, 0.1 + 0 * image], 1)

    return network


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_an_mri_that_helps_is_followed_and_one_that_does_not_is_left_out(psf: str, factor: int) -> None:
    coarse, truth = measured(psf, factor)
    for good in (True, False):
        found, check = super_resolved(by_the_mri(good), coarse)
        share = float(check[WEIGHT, PLACE[WITH_MRI]])
        most = 0.6 if psf == "hamming" else 0.35  # a filtered map says little of the outer encodes
        assert (share > 0.8) if good else (share < most)
        assert float(check[WEIGHT].nan_to_num().sum()) == pytest.approx(1, abs=1e-5)
        alone = without_mri(check)
        assert float(alone.sum()) == pytest.approx(1, abs=1e-5)
        assert float(alone[PLACE[WITH_MRI]]) == 0
        if not good:  # the result is better than what was named beforehand
            error, named = (
                float((super_resolved(by_the_mri(good), coarse, check=c)[0][0, ..., 0] - truth[0]).square().mean())
                for c in (True, False)
            )
            assert error < 0.8 * named


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_the_error_in_what_is_measured_is_that_of_the_truth(psf: str) -> None:
    """A method that gives the measurement itself errs by its noise, one that gives the truth not at all."""
    errors = []
    for seed in range(8):
        coarse, truth = measured(psf, 2, seed=seed)
        clean = coarse.encoding.interpolate(coarse.encoding.A(truth)).movedim(0, -1)

        def estimate(given: Coarse, clean: torch.Tensor = clean) -> Estimates:
            same = given.start.shape == clean.shape
            ones = torch.ones_like(given.map)
            smooth = clean if same else given.start
            maps = {NETWORK: smooth, INTERPOLATION: given.start}
            return Estimates(maps, {NETWORK: 0 * ones, INTERPOLATION: ones}, {NETWORK: 0.1 + 0 * smooth})

        check = check_across_scales(estimate, coarse, estimate(coarse), seed)
        errors.append(check[ERROR, [PLACE[NETWORK], PLACE[INTERPOLATION]]].square())
        usual = float(coarse.map[coarse.map > 0.2].square().mean())
    mean = torch.stack(errors).mean(0) * usual
    assert float(mean[1] - mean[0]) == pytest.approx(SIGMA**2, rel=0.25)  # the same detail, and noise


def test_noise_that_was_averaged_away_is_brought_back() -> None:
    """Smoothing wins on the true scale; on a coarser map without the noise interpolation would have."""
    coarse, _ = measured("block", 2, sigma=0.15)

    def network(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, TV], 0.1 + 0 * x[:, TV]], 1)

    _, check = super_resolved(network, Coarse(coarse.start, coarse.noise, {}, coarse.encoding))
    assert float(check[WEIGHT, PLACE[INTERPOLATION]]) < 0.25
    assert float(check[ERROR, PLACE[INTERPOLATION]]) > 1.3 * float(check[ERROR, PLACE[NETWORK]])


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_standard_deviation_that_is_too_small_is_widened_and_no_other(true: float, noise: float) -> None:
    generator, count = torch.Generator().manual_seed(0), 20_000
    errors, noises = (torch.randn(count, generator=generator) for _ in range(2))
    sd = 0.5 + torch.rand(count, generator=generator)
    wrong = (true * sd * errors + noise * noises).abs()
    assert scale_check._spread(wrong, sd, torch.full_like(sd, noise**2)) == pytest.approx(max(1, true), rel=0.1)
    few = scale_check._spread(wrong[:20], sd[:20], torch.full((20,), noise**2))
    assert few <= max(1, true) + 0.2  # few voxels leave the stated one as it is
    overstated = scale_check._spread(wrong, sd, torch.full_like(sd, (1.4 * noise) ** 2))
    assert overstated >= 1


@pytest.mark.parametrize("psf", ["block", "kspace", "hamming"])
def test_intervals_that_do_not_hold_on_the_map_are_widened_until_they_do(psf: str) -> None:
    """Two slices, in a unit of their own."""
    encoding, sigma = SpatialEncoding(psf, 2), 0.02
    generator = torch.Generator().manual_seed(0)
    x, y = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    inside = torch.hypot(x - 48, y - 48) < 42
    fine = torch.randn(2, 96, 96, generator=generator)
    truth = inside * (0.6 + 0.1 * encoding.interpolate(encoding.A(fine)) + 0.1 * fine)
    clean = encoding.A(truth)
    coarse = clean + sigma * encoding.coloured(torch.randn(clean.shape, generator=generator))
    top = 2 * coarse.amax((1, 2), keepdim=True)
    start, level = encoding.interpolate(coarse / top).movedim(0, -1), (sigma / top).expand(2, 96, 96).movedim(0, -1)

    def network(stated: float):
        return lambda x: torch.stack([x[:, INTERPOLATED], stated + 0 * x[:, INTERPOLATED]], 1)

    given, factors = Coarse(start, level, {}, encoding), {}
    for stated in (0.02, 0.06, 0.5):
        found, check = super_resolved(network(stated), given)
        factors[stated] = float(check[SPREAD, -1])
        torch.testing.assert_close(found[1], torch.full_like(found[1], stated * factors[stated]))
        errors = (found[0].movedim(-1, 0) - truth / top)[inside.expand(2, 96, 96)].abs()
        if stated == 0.02:
            held = [float((errors < 1.645 * sd).float().mean()) for sd in (stated, stated * factors[stated])]
            assert held[0] < 0.5
            assert held[1] > held[0] + 0.3
    assert factors[0.02] > factors[0.06] - 0.01
    assert factors[0.06] < 2.5
    assert factors[0.5] == 1
    assert super_resolved(network(0.02), given, check=False)[1][SPREAD].isnan().all()


def test_without_noise_or_with_few_voxels_there_is_no_check() -> None:
    coarse, _ = measured("block", 4)
    unknown = Coarse(coarse.start, torch.full_like(coarse.start, torch.nan), coarse.mris, coarse.encoding)
    few = 4 * (FEWEST - 1)
    small = Coarse(coarse.start[:few], coarse.noise[:few], {}, coarse.encoding)
    empty = Coarse(0 * coarse.start, coarse.noise, {}, coarse.encoding)
    for given, reason in ((unknown, NOT_ASKED), (small, SMALL), (empty, LITTLE)):
        found, check = super_resolved(by_the_mri(True), given)
        assert int(check[WEIGHT, -1]) == reason
        assert check[ERROR].isnan().all()
        assert found.isfinite().all()
    _, check = super_resolved(by_the_mri(True), coarse, check=False)
    assert int(check[WEIGHT, -1]) == NOT_ASKED
    assert float(check[WEIGHT, PLACE[WITH_MRI]]) == 1


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_a_map_that_was_interpolated_before_is_not_checked(psf: str) -> None:
    """Its outer k-space is empty, and its noise is not as stated from voxel to voxel."""
    coarse, _ = measured("kspace", 4)
    twice = SpatialEncoding("kspace", 2).interpolate(coarse.map)
    encoding = SpatialEncoding(psf, 2)
    start = encoding.interpolate(twice).movedim(0, -1)
    _, check = super_resolved(by_the_mri(True), Coarse(start, torch.full_like(start, SIGMA), {}, encoding))
    assert int(check[WEIGHT, -1]) == QUIET


@pytest.mark.parametrize("psf", ["block", "kspace"])
def test_zeros_outside_the_head_count_for_nothing(psf: str) -> None:
    """Masked or not, the same methods are weighed alike."""
    coarse, truth = measured(psf, 2)
    inside = coarse.encoding.A(truth) > 0.05
    masked = coarse.encoding.interpolate(coarse.map * inside).movedim(0, -1)
    errors = []
    for start in (coarse.start, masked):
        _, check = super_resolved(by_the_mri(False), Coarse(start, coarse.noise, coarse.mris, coarse.encoding))
        errors.append(check[ERROR, : len(METHODS)])
    torch.testing.assert_close(errors[1], errors[0], atol=0.03, rtol=0.15)


def test_slices_without_anything_or_without_noise_in_a_stack() -> None:
    """More slices than a batch holds, the last ones empty."""
    coarse, _ = measured("kspace", 4)
    start = coarse.start.repeat(1, 1, 9)
    noise = torch.full_like(start, SIGMA)
    for slices, level in ((slice(8, None), SIGMA), (slice(8, None), 0.0), (slice(0, 8), 0.0)):
        some, there = noise.clone(), start.clone()
        some[..., slices] = level
        if level:
            there[..., slices] = 0
        found, check = super_resolved(by_the_mri(True), Coarse(there, some, {}, coarse.encoding))
        assert found.isfinite().all()
        assert check[ERROR, PLACE[NETWORK]].isfinite()


def test_odd_matrices_and_many_slices() -> None:
    coarse, _ = measured("kspace", 4)
    odd = slice(0, 4 * 31)
    start = coarse.start[odd].repeat(1, 1, 11)
    mris = {"flair": coarse.mris["flair"][odd].repeat(1, 1, 11)}
    found, check = super_resolved(by_the_mri(True), Coarse(start, torch.full_like(start, SIGMA), mris, coarse.encoding))
    assert found.shape == (3, *start.shape)
    assert float(check[WEIGHT, PLACE[WITH_MRI]]) > 0.8


def test_the_same_map_has_the_same_check() -> None:
    coarse, _ = measured("hamming", 4)
    one, again = (super_resolved(by_the_mri(True), coarse)[1] for _ in range(2))
    torch.testing.assert_close(one, again, equal_nan=True)


def test_weights_blend_and_what_is_missing_counts_nothing() -> None:
    maps = {NETWORK: torch.ones(2, 2), INTERPOLATION: 3 * torch.ones(2, 2)}
    weights = torch.tensor([torch.nan, 0.75, 0.0, 0.25, torch.nan])
    torch.testing.assert_close(blended(maps, weights), 1.5 * torch.ones(2, 2))


def test_what_record_and_summary_say() -> None:
    check = torch.full((2, 3, len(COLUMNS)), torch.nan)
    check[1, WEIGHT] = torch.tensor([0.7, 0.0, 0.1, 0.2, 0.0])
    check[1, ERROR] = torch.tensor([0.2, 0.3, 0.35, 0.4, 0.18])
    check[1, SPREAD, -1] = 1.7
    (record,) = check_records(check)
    assert record["title"].startswith("map 2, ")
    assert record["title"].endswith("multiplied by 1.70")
    assert record["sd_factor"] == 1.7
    assert list(record["candidates"]) == [*METHODS, "result"]
    assert record["candidates"][WITH_MRI] == {"share": 0.7, "error / tissue": 0.2}
    assert record["candidates"]["result"] == {"share": None, "error / tissue": 0.18}
    row = summary_of(check)
    assert row["check"] == "with MRI 70%, total variation 10%, interpolation 20%"
    assert row["check: error / tissue, result"] == 0.18
    assert row["check: factor of the SD, at most"] == 1.7
    assert summary_of(check[:1]) == {"check": "none"}
    assert check_records(check[:1]) == []


def test_a_classical_method_must_win_by_more_than_the_network_without_the_mri() -> None:
    """The same errors: the weight that leaves the method named beforehand goes to the network."""
    products = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]])
    penalties = np.array([scale_check.PENALTIES[name] for name in (WITH_MRI, NETWORK, scale_check.TV)])
    first, network, classical = scale_check._weights(products, penalties / 300)
    assert first > network > 1.5 * classical > 0
    assert scale_check._weights(products, 1e9 * penalties) == pytest.approx([1, 0, 0], abs=1e-3)
