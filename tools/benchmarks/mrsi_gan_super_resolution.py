"""Three ways to use an MRI, 46 to 184 voxels a side: the paper's tables, noise, lesions, shifted priors, volumes."""

from __future__ import annotations

import functools
import itertools
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from monai.bundle import ConfigParser
from skimage.restoration import denoise_nl_means
from torch import Tensor
from tqdm import tqdm

from benchmark import REPOSITORY, Context, peak_memory
from benchmarks.super_resolution import (
    SETS,
    SHAPES,
    Case,
    cases,
    draw,
    lesions_in,
    load_anatomy,
    moved,
    own_flair,
    record,
    record_uncertainty,
    stacked,
)
from mrsi_gan_super_resolution import predict
from mrsi_gan_super_resolution.inferer import MethodInferer
from mrsi_gan_super_resolution.reference_li import Generator
from mrsikit.metrics.calibration import error_rank_correlation, interval_coverage
from mrsikit.metrics.edge_width import edge_width
from mrsikit.metrics.fsim import fsim
from mrsikit.metrics.image_quality import psnr, ssim
from mrsikit.metrics.lesion_fidelity import lesion_bias, lesion_leak
from mrsikit.metrics.statistics import mann_whitney_p
from mrsikit.phantoms.metabolites import TUMOUR_WEIGHTS, concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, Tissues, VirtualSubject
from mrsikit.physics.kspace import resample
from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.restoration.guided_non_local_means import WINDOW, guided_non_local_means
from mrsikit.restoration.non_local_means import feature_non_local_means, mri_features
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.network import SuperResolution
from mrsikit.super_resolution.preprocessing import subdivided
from mrsikit.transforms.li_cohort import COARSE, FIELD_OF_VIEW, FINE, VERY_FINE, li_maps
from result_tables import Column, Headline, Sweep, Table, Target, find

logger = logging.getLogger(__name__)

BUNDLE = REPOSITORY / "bundles" / "mrsi_gan_super_resolution"
FACTOR = FINE // COARSE
KSPACE, KSPACE_3D = (SpatialEncoding("kspace", FACTOR, dims) for dims in (2, 3))
GEOMETRY: Any = {"size": FINE, "field_of_view": FIELD_OF_VIEW, "thickness": 3.0}
ETA = {2: 0.1, 3: 0.03}
"""Of the weighted total variation by axes of space, chosen on BrainWeb 1."""

PLAIN_FNLM: Any = {"h_features": (0.8, 0.2), "spread": 2.0, "window": 13, "passes": 4}
"""Of the non-local means after a classical start, chosen on BrainWeb 1 for that."""

TV_STRENGTH = 0.01
"""Of the total variation without data consistency, chosen on BrainWeb 1."""

VOLUME_FNLM: Any = {"h_features": (0.8, 0.2), "spread": 2.0}

OURS = {1: "ours, DLmethod_1", 2: "ours, DLmethod_2", 3: "ours, DLmethod_3"}
WTV, FNLM = "wTV(MRI) + kDC", "bicubic + FNLM"
NETWORKS = {"unet": "U-Net", "gan": "GAN"}
"""The published ones, by the names of their weights."""

Method = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Fine maps (N, X, Y) of coarse ones, with FLAIRs, brains and the noise's standard deviation."""

Quality = dict[str, dict[str, list[float]]]
"""Values of the cases by method and measure."""


@functools.cache
def shipped() -> torch.nn.Module:
    """The default network."""
    network = SuperResolution(collapsed=True)
    state = torch.load(BUNDLE / "models" / "model.pt", map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval()


@functools.cache
def guided_spread() -> float:
    """Of inference.json."""
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / "inference.json"))
    return float(parser["guided_spread"])


@functools.cache
def li_network(generator: str, kind: str) -> Generator | None:
    """A published network; None where its weights are not there."""
    path = BUNDLE / "models" / f"model_{generator}_{kind}.pt"
    if not path.exists():
        logger.warning("%s is not there: its rows are left out", path.name)
        return None
    network = Generator(two_inputs=kind == "two_inputs")
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval()


@torch.no_grad()
def ours(
    coarse: Tensor, flair: Tensor | None, *, method: int, noise: float | None = 0.0, dims: int = 2, check: bool = True
) -> tuple[Tensor, Tensor]:
    """Maps and deviations (N, X, Y[, Z]) of coarse ones, maximum about 1, by the inferer of inference.json.

    With ``noise`` None it is not told. Each map has its own check.
    """
    options: Any = {"factor": FACTOR, "psf": "kspace", "dims": dims, "method": method, "check": check}
    inferer = MethodInferer(guided_spread=guided_spread(), **options)
    encoding, found = KSPACE if dims == 2 else KSPACE_3D, []
    for n in range(len(coarse)):
        top = coarse[n].abs().max()
        start = encoding.interpolate(coarse[n : n + 1] / top)
        level = torch.full_like(start, float("nan") if noise is None else float(noise / top))
        guide = torch.zeros_like(start) if flair is None else flair[n : n + 1]
        layers = torch.cat([start, level, guide, torch.zeros_like(start)])
        out = inferer((layers[..., None] if dims == 2 else layers)[None], shipped())["maps"][0, :2] * top
        found.append(out[..., 0] if dims == 2 else out)
    both = torch.stack(found)
    return both[:, 0], both[:, 1]


@torch.no_grad()
def by_generator(network: Generator, coarse: Tensor, flair: Tensor) -> Tensor:
    """As the paper applies its networks: on the cubic interpolation, nothing after."""
    inputs = [cubic(coarse, FACTOR)] + ([flair] if network.head[0].in_channels == 2 else [])
    return torch.cat([network(x[None]) for x in torch.stack(inputs, 1)])[:, 0]


def along(start: Callable[..., Tensor]) -> Method:
    """A method and then feature non-local means along the FLAIR, kept to the measurement as the noise allows."""

    def run(coarse: Tensor, flair: Tensor, brain: Tensor, noise: float) -> Tensor:
        features = mri_features([flair], brain)
        begun = start(coarse, flair, brain, noise)
        return guided_non_local_means(coarse, KSPACE, features, start=begun, noise=noise, **PLAIN_FNLM)

    return run


def tv(coarse: Tensor, _: Tensor, __: Tensor, noise: float) -> Tensor:
    """Total variation; its strength follows the noise."""
    return total_variation(coarse, KSPACE, strength=2 * noise)


def plain_tv(coarse: Tensor, *_: Any) -> Tensor:
    """Total variation that need not keep to the measurement, whatever the noise."""
    return total_variation(coarse, KSPACE, strength=TV_STRENGTH)


def reweighted_tv(coarse: Tensor, _: Tensor, __: Tensor, noise: float) -> Tensor:
    """Total variation weighted by its own first result, without an MRI: the paper's wTV."""
    first = total_variation(coarse, KSPACE, strength=2 * noise)
    return total_variation(coarse, KSPACE, strength=2 * noise, mri=first, eta=ETA[2])


def guided_tv(coarse: Tensor, flair: Tensor, _: Tensor, noise: float) -> Tensor:
    """Total variation weighted by the FLAIR, kept to the measured encodes."""
    return total_variation(coarse, KSPACE, strength=2 * noise, mri=flair, eta=ETA[2])


def bicubic(coarse: Tensor, *_: Any) -> Tensor:
    """Aligned cubic interpolation."""
    return cubic(coarse, FACTOR)


def bicubic_unaligned(coarse: Tensor, *_: Any) -> Tensor:
    """Cubic interpolation of a plain crop of k-space, which takes its voxels 1.5 fine ones beside where they lie."""
    return cubic(KSPACE.interpolate(coarse)[..., ::FACTOR, ::FACTOR], FACTOR)


def bicubic_consistent(coarse: Tensor, *_: Any) -> Tensor:
    """Cubic interpolation whose central k-space is the measured one, whatever the noise."""
    return KSPACE.data_consistency(cubic(coarse, FACTOR), coarse)


def ours_by(method: int, noise_known: bool = True, dims: int = 2) -> Method:
    """Ours, as a function like the others; the noise may be unknown."""
    return lambda coarse, flair, _, noise: ours(
        coarse, flair, method=method, noise=noise if noise_known else None, dims=dims
    )[0]


def classical() -> dict[str, Method]:
    """What one would use instead."""
    return {
        "bicubic": bicubic,
        "bicubic + kDC": bicubic_consistent,
        "TV + kDC": tv,
        "wTV": reweighted_tv,
        WTV: guided_tv,
        FNLM: along(bicubic),
        "wTV + FNLM": along(reweighted_tv),
    }


def learned(truth: str, label: str = "") -> dict[str, Method]:
    """The published networks that are there: trained on the soft truth or, with what uses an MRI, on the sharp one."""
    out: dict[str, Method] = {}
    for generator, name in NETWORKS.items():
        one, two = li_network(generator, truth), li_network(generator, "two_inputs")
        if one is not None:
            alone = functools.partial(_apply, one)
            out[name + label] = alone
            if truth == "sharp":
                out[f"{name} + FNLM"] = along(alone)
        if two is not None and truth == "sharp":
            out[f"{name}, two inputs"] = functools.partial(_apply, two)
    return out


def interpolated() -> dict[str, Method]:
    """The conventional methods of the paper's Table 1, and what they miss: alignment, and data consistency."""
    return {"bicubic": bicubic, UNALIGNED: bicubic_unaligned, "TV": plain_tv, "TV + kDC": tv}


def in_table_1() -> dict[str, Method]:
    """The methods of the paper's Table 1, and ours without an MRI."""
    return interpolated() | learned("soft") | {OURS[1]: ours_by(1)}


def in_table_2() -> dict[str, Method]:
    """Those of its Table 2, where U-Net and GAN are the networks of Table 1; the same of the sharp truth; and ours."""
    return interpolated() | learned("soft", AS_IN_TABLE_1) | everything()


def _apply(network: Generator, coarse: Tensor, flair: Tensor, _: Tensor, __: float) -> Tensor:
    return by_generator(network, coarse, flair)


def everything(noise_known: bool = True) -> dict[str, Method]:
    """Every method of the second table, and ours."""
    return classical() | learned("sharp") | {name: ours_by(method, noise_known) for method, name in OURS.items()}


def compared(noise_known: bool = True) -> dict[str, Method]:
    """The strongest of them."""
    return {name: run for name, run in everything(noise_known).items() if name in STRONGEST}


def measure(context: Context) -> None:
    """Fill the context's rows."""
    for part in tqdm(PARTS.values(), desc="benchmark", unit="part"):
        part(context)


def sets(context: Context, count: int, **geometry: Any) -> list[tuple[str, list[Case]]]:
    """The same cases for every part."""
    count = max(2, count // 8) if context.quick else count
    out = []
    for k, name in enumerate(SETS):
        rng = np.random.default_rng([context.seed, k])
        out.append((name, cases(load_anatomy(name, context.data), count, rng, **(geometry or GEOMETRY))))
    return out


def li_cases(context: Context, count: int, *, healthy: bool = False) -> list[tuple[str, dict[str, Tensor]]]:
    """By the paper's rule and on its grids, (N, X, Y) each: the maps of ``li_maps``, and regions.

    In ``healthy`` subjects white matter takes the tumour's place. The tumour is the maximum of most maps, to which all
    errors are relative, so these are the harder maps.
    """
    out = []
    for name, chosen in sets(context, count, size=VERY_FINE, field_of_view=FIELD_OF_VIEW, thickness=1.4):
        rng = np.random.default_rng(context.seed)
        found = []
        for k, case in enumerate(chosen):
            tissues = without_tumour(case.tissues) if healthy else case.tissues
            maps = li_maps(tissues, rng, TUMOUR_WEIGHTS[k % len(TUMOUR_WEIGHTS)])
            for region in ("brain", "viable", "ventricles"):
                maps[region] = resample(getattr(tissues, region), (FINE, FINE)) > 0.5
            found.append(maps)
        out.append((name, {key: torch.stack([maps[key] for maps in found]) for key in found[0]}))
    return out


def without_tumour(tissues: Tissues) -> Tissues:
    """The same head with white matter in place of tumour and oedema."""
    none = torch.zeros_like(tissues.viable)
    white = (tissues.wm + tissues.viable + tissues.necrosis).clamp(max=1)
    return replace(tissues, wm=white, viable=none, necrosis=none, oedema=none)


def _tables(context: Context) -> None:
    """Tables 1 and 2 of the paper, on its virtual cohort's rule, with their tests, box plots and pictures."""
    values: dict[str, Quality] = {}
    pictures: dict[str, list[dict[str, Tensor]]] = {TABLE_1: [], TABLE_2: []}
    for people in PEOPLE:
        for set_, data in li_cases(context, 16, healthy=people == HEALTHY):
            rest = data["mri"], data["brain"], 0.0
            for table, truth, methods in (
                (TABLE_1, data["soft"], in_table_1()),
                (TABLE_2, data["sharp"], in_table_2()),
            ):
                condition = table + people
                results = {name: run(data["coarse"], *rest) for name, run in methods.items()}
                found = {name: _quality(pred, truth) for name, pred in results.items()}
                _record_quality(context, set_, condition, found, AGAINST[table])
                for name, pred in {**results, "truth": truth}.items():
                    if name != "truth":
                        masked = psnr(pred[:, None], truth[:, None], data["brain"][:, None], data_range=1)
                        context.add(set_, condition, name, "PSNR, brain, dB", masked.tolist())
                    for region, where in (("tumour", "viable"), ("ventricles", "ventricles")):
                        widths = [edge_width(i.numpy(), w.numpy()) for i, w in zip(pred, data[where], strict=True)]
                        context.add(set_, condition, name, f"edge width, {region}, voxels", widths)
                pooled = values.setdefault(condition, {})
                for name, metrics in found.items():
                    for metric, each in metrics.items():
                        pooled.setdefault(name, {}).setdefault(metric, []).extend(each)
                if set_ in SETS[-2 if table == TABLE_2 else -3 :]:  # as many as the paper shows
                    pictures[table] += _pictures(table, data, results, truth)
    box_plots(values, context.figures / "published_box_plots.png")
    for table, rows in pictures.items():
        draw(rows, context.figures / f"published_{table.lower().replace(' ', '_')}.png")


def _quality(pred: Tensor, truth: Tensor) -> dict[str, list[float]]:
    """The paper's three measures of each case, over the whole field of view."""
    found = {
        "PSNR": psnr(pred[:, None], truth[:, None], data_range=1),
        "SSIM": ssim(pred[:, None], truth[:, None], data_range=1),
        "FSIM": fsim(pred[:, None], truth[:, None]),
    }
    return {metric: values.tolist() for metric, values in found.items()}


def _record_quality(context: Context, set_: str, condition: str, found: Quality, against: Sequence[str]) -> None:
    """The measures, and the Mann-Whitney tests of every other method against the conventional ones."""
    for name, metrics in found.items():
        for metric, values in metrics.items():
            context.add(set_, condition, name, "PSNR, dB" if metric == "PSNR" else metric, values)
            for other in () if name in interpolated() | classical() else against:
                p = mann_whitney_p(values, found[other][metric])
                context.add(set_, condition, name, f"p of {metric} against {other}", [p])
                if condition.startswith(TABLE_1):
                    conventional = found[other][metric]
                    context.add_ratio(set_, condition, name, f"{metric} / that of {other}", values, conventional)


def _pictures(
    table: str, data: Mapping[str, Tensor], results: Mapping[str, Tensor], truth: Tensor
) -> list[dict[str, Tensor]]:
    """The case with the largest tumour, or the first one: the whole map and, as the paper zooms, its tumour."""
    sizes = data["viable"].flatten(1).sum(1)
    k = int(sizes.argmax())
    row = {"truth": truth[k], "coarse": data["coarse"][k].repeat_interleave(FACTOR, 0).repeat_interleave(FACTOR, 1)}
    row |= {name: results[name][k] for name in PICTURED[table] if name in results}
    row |= {"MRI": data["mri"][k]} if table == TABLE_2 else {}
    rows = [{name: _near(image) for name, image in row.items()}]
    if sizes[k]:
        middle = torch.nonzero(data["viable"][k]).float().mean(0).round().int().tolist()
        x, y = (slice(max(0, m - ZOOM), m + ZOOM) for m in middle)
        rows.append({name: image[x, y] for name, image in row.items()})
    return rows


def box_plots(values: Mapping[str, Quality], path: Path) -> None:
    """Box plots of each measure by method, a row for each condition; the cases of all heads together."""
    metrics = ("PSNR", "SSIM", "FSIM")
    figure = Figure(figsize=(15, sum(1 + 0.25 * len(methods) for methods in values.values())))
    heights = [1 + 0.25 * len(methods) for methods in values.values()]
    axes = figure.subplots(len(values), len(metrics), squeeze=False, height_ratios=heights)
    for line, (condition, methods) in zip(axes, values.items(), strict=True):
        for axis, metric in zip(line, metrics, strict=True):
            names = list(methods)[::-1]
            axis.boxplot([methods[name][metric] for name in names], orientation="horizontal", tick_labels=names)
            axis.set_title(f"{condition}: {metric}{', dB' if metric == 'PSNR' else ''}", fontsize=9)
            axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def noisy(coarse: Tensor, level: float, seed: int) -> Tensor:
    """With white noise."""
    return coarse + level * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(seed))


def _noise(context: Context) -> None:
    """Every method at every noise; the uncertainty of ours."""
    for set_, chosen in sets(context, 12):
        fine, flair, brain = (stacked(chosen, name) for name in ("fine", "flair", "brain"))
        for level in LEVELS:
            coarse = noisy(KSPACE.A(fine), level, context.seed)
            condition = f"noise {level:g}"
            for name, run in (classical() | learned("sharp")).items():
                record(context, set_, condition, name, run(coarse, flair, brain, level), chosen)
            for method, name in OURS.items():
                pred, sd = ours(coarse, flair, method=method, noise=level)
                record(context, set_, condition, name, pred, chosen)
                record_uncertainty(context, set_, condition, name, pred, sd, chosen)


def _lesions(context: Context) -> None:
    """Lesions in the map alone (B), in both (C), in the FLAIR alone (D): bias and leak by size and noise."""
    for set_, chosen in sets(context, 12):
        rng = np.random.default_rng(context.seed)
        for diameter in DIAMETERS:
            lesion = lesions_in(chosen, diameter * FINE / FIELD_OF_VIEW, rng)
            fine, flair, brain = (stacked(chosen, name) for name in ("fine", "flair", "brain"))
            level = fine.flatten(1).quantile(0.95, 1)[:, None, None]
            signs = torch.tensor([1.0 if k % 3 else -0.6 for k in range(len(chosen))])[:, None, None]
            contrast = lesion * torch.where(signs > 0, signs * 0.6 * level, signs * fine)
            shown = flair + lesion * (0.9 - flair)
            for condition, noise, noise_known in LESION_NOISES:
                coarse, plain = (noisy(KSPACE.A(image), noise, context.seed) for image in (fine + contrast, fine))
                for name, run in (everything(noise_known) if noise == 0 else compared(noise_known)).items():
                    alone, both = (run(coarse, guide, brain, noise) for guide in (flair, shown))
                    where = f"lesions of {diameter:g} mm{condition}"
                    bias = 100 * lesion_bias(alone, fine + contrast, lesion, contrast)
                    context.add(set_, where, name, "bias, map only, %", bias.tolist())
                    for k, kind in enumerate(SHAPES):
                        each = bias[k :: len(SHAPES)].tolist()
                        context.add(set_, f"{where}, {kind}", name, "bias, map only, %", each)
                    bias = 100 * lesion_bias(both, fine + contrast, lesion, contrast)
                    context.add(set_, where, name, "bias, in both, %", bias.tolist())
                    invented = run(plain, shown, brain, noise), run(plain, flair, brain, noise)
                    leak = 100 * lesion_leak(*invented, lesion, 0.6 * level[:, 0, 0])
                    context.add(set_, where, name, "leak, FLAIR only, %", leak.tolist())


def _shift(context: Context) -> None:
    """A FLAIR that lies 0 to 3 fine voxels beside the map."""
    for set_, chosen in sets(context, 8):
        fine, flair, brain = (stacked(chosen, name) for name in ("fine", "flair", "brain"))
        coarse = KSPACE.A(fine)
        for voxels in SHIFTS:
            guide = moved(flair, voxels)
            for name, run in everything().items():
                if voxels == 0 or name not in WITHOUT_MRI:
                    record(
                        context, set_, f"prior shifted {voxels} voxels", name, run(coarse, guide, brain, 0.0), chosen
                    )


def _cost(context: Context) -> None:
    """Processor time of the non-local means on one core, against skimage's of the same window; memory of a volume."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(context.seed)
    chosen = cases(load_anatomy(SETS[0], context.data), 2 if context.quick else 6, rng, **GEOMETRY)
    ratios: dict[int, list[float]] = {}
    for case, window in itertools.product(chosen, (11, WINDOW[2])):
        features = mri_features([case.flair[None]], case.brain[None])
        image = case.fine.numpy()
        times = _fastest(
            functools.partial(denoise_nl_means, image, 5, window // 2, 0.1, fast_mode=False),
            functools.partial(feature_non_local_means, case.fine[None], features, window=window),
        )
        ratios.setdefault(window, []).append(times[1] / times[0])
    for window, found in ratios.items():
        context.add("any", COST, f"FNLM, 184 x 184, window of {window}", "time / skimage's slow NLM", found)
    volume = torch.rand(1, 60, 60, 48, generator=torch.Generator().manual_seed(0))
    features = mri_features([volume], volume)
    times = _fastest(
        lambda: denoise_nl_means(volume[0].numpy(), 3, 2, 0.1, fast_mode=False),
        lambda: feature_non_local_means(volume, features, window=5),
    )
    context.add("any", COST, "FNLM, volume, window of 5", "time / skimage's slow NLM", [times[1] / times[0]])
    side = 40 if context.quick else 92  # large against the processor's caches
    small, large = (torch.rand(1, n, n, 64, generator=torch.Generator().manual_seed(0)) for n in (side, 2 * side))
    found = _fastest(
        *(
            functools.partial(feature_non_local_means, x, mri_features([x], x), window=5, slab=16)
            for x in (small, large)
        )
    )
    more = found[1] / found[0] / 4
    context.add("any", COST, "FNLM, volume, window of 5", "time a voxel, 4 times the voxels", [more])
    if not context.quick:
        for name, command in (("FNLM, 184 x 184 x 128, window of 5", FILTER_A_VOLUME), (OURS[2], SUPER_RESOLVE_VOLUME)):
            memory = peak_memory([sys.executable, "-c", command])
            context.add("any", COST, name, "peak memory of the process, GB", [memory])
    torch.set_num_threads(threads)


def _fastest(*runs: Callable[[], Any]) -> list[float]:
    """Least processor time of three."""
    times = [float("inf")] * len(runs)
    for _ in range(3):
        for k, run in enumerate(runs):
            start = time.process_time()
            run()
            times[k] = min(times[k], time.process_time() - start)
    return times


def volume_methods(level: float) -> dict[str, Method]:
    """What sharpens volumes (1, X, Y, Z), ours apart."""

    def solve(coarse: Tensor, flair: Tensor | None) -> Tensor:
        return total_variation(coarse, KSPACE_3D, strength=2 * level, iterations=TV_ITERATIONS, mri=flair, eta=ETA[3])

    def guided(start: Callable[[Tensor, Tensor], Tensor]) -> Method:
        def run(coarse: Tensor, flair: Tensor, brain: Tensor, noise: float) -> Tensor:
            features = mri_features([flair], brain)
            begun = start(coarse, flair)
            return guided_non_local_means(coarse, KSPACE_3D, features, start=begun, noise=noise, slab=16, **VOLUME_FNLM)

        return run

    return {
        "bicubic": lambda coarse, *_: cubic(coarse, FACTOR, 3),
        "zero filling": lambda coarse, *_: KSPACE_3D.interpolate(coarse),
        "TV + kDC": lambda coarse, *_: solve(coarse, None),
        WTV: lambda coarse, flair, *_: solve(coarse, flair),
        FNLM: guided(lambda coarse, _: cubic(coarse, FACTOR, 3)),
        "wTV(MRI) + FNLM": guided(solve),
    }


def _volume(context: Context) -> None:
    """A whole brain by the public call, 46 x 46 x 32 to 184 x 184 x 128, k-space in three dimensions; time of each."""
    for k, set_ in enumerate(SETS[:1] if context.quick else SETS):
        fine, flair, brain, affine = brain_volume(load_anatomy(set_, context.data), context.seed + k)
        if context.quick:
            cut = slice(48, 112), slice(48, 112), slice(40, 72)
            fine, flair, brain = (image[cut].contiguous() for image in (fine, flair, brain))
        for level in VOLUME_LEVELS:
            coarse = noisy(KSPACE_3D.A(fine[None]), level, context.seed)
            condition = f"volume, noise {level:g}"
            runs: dict[str, Callable[[], Tensor]] = {
                name: functools.partial(run, coarse, flair[None], brain[None], level)
                for name, run in volume_methods(level).items()
            }
            for method, name in OURS.items():
                runs[name] = functools.partial(by_call, coarse[0], flair, affine, level, method, dims=3)
            for name, run in runs.items():
                start = time.process_time()
                pred = run()
                context.add(set_, condition, name, "minutes of processor time", [(time.process_time() - start) / 60])
                for suffix, mask in (("", None), (", brain", brain[None, None])):
                    found = psnr(pred[None, :1], fine[None, None], mask, data_range=1)
                    context.add(set_, condition, name, f"PSNR{suffix}, dB", found.tolist())
                if len(pred) == 2:  # ours says how sure it is
                    errors, stated = (pred[0] - fine)[brain].numpy(), pred[1][brain].numpy()
                    cover = interval_coverage(errors, stated, np.zeros(len(errors), int))
                    context.add(set_, condition, name, "90 % intervals cover", [cover])
                    rank = error_rank_correlation(errors, stated)
                    context.add(set_, condition, name, "rank correlation of error", [rank])


def _volume_lesions(context: Context) -> None:
    """Balls in the map alone and in the FLAIR alone, in a part of the brain: what volumes lose and invent."""
    side, deep = (64, 32) if context.quick else (96, 48)
    for k, set_ in enumerate(SETS[:1] if context.quick else SETS):
        images = brain_volume(load_anatomy(set_, context.data), context.seed + k)[:3]
        corner = [(n - s) // 2 for n, s in zip(images[0].shape, (side, side, deep), strict=True)]
        cut = tuple(slice(c, c + s) for c, s in zip(corner, (side, side, deep), strict=True))
        fine, flair, brain = (image[cut].contiguous()[None] for image in images)
        rng = np.random.default_rng(context.seed)
        level = 0.6 * fine[brain].quantile(0.95)
        for diameter, level_of_noise in itertools.product(DIAMETERS, VOLUME_LESION_LEVELS):
            balls = balls_in(brain[0] & (fine[0] > 0.2) & (fine[0] < 0.6), diameter * FINE / FIELD_OF_VIEW, rng)
            every = balls.sum(0, keepdim=True)
            shown = flair + every * (0.9 - flair)
            plain, added = (
                noisy(KSPACE_3D.A(image), level_of_noise, context.seed) for image in (fine, fine + level * every)
            )
            runs: dict[str, Method] = {
                name: run for name, run in volume_methods(level_of_noise).items() if name in STRONGEST_IN_VOLUMES
            }
            runs |= {name: ours_by(method, dims=3) for method, name in OURS.items()}
            for name, run in runs.items():
                without, alone, invented = (
                    run(coarse, guide, brain, level_of_noise).flatten(2)
                    for coarse, guide in ((plain, flair), (added, flair), (plain, shown))
                )
                flat, contrast = balls.flatten(2), level * balls.flatten(2)
                condition = f"volume, balls of {diameter:g} mm, noise {level_of_noise:g}"
                bias = 100 * lesion_bias(alone, (fine + level * every).flatten(2), flat, contrast)
                leak = 100 * lesion_leak(invented, without, flat, level)
                context.add(set_, condition, name, "bias, map only, %", bias.tolist())
                context.add(set_, condition, name, "leak, FLAIR only, %", leak.tolist())


def balls_in(places: Tensor, diameter: float, rng: np.random.Generator, count: int = 6) -> Tensor:
    """Balls (N, X, Y, Z), 0 or 1, at most ``count``, apart from each other; centres among the ``places``."""
    margin = int(diameter / 2) + 2
    inside = np.zeros(places.shape, bool)
    inside[tuple(slice(margin, n - margin) for n in places.shape)] = True
    wanted = rng.permutation(np.argwhere(places.numpy() & inside))
    centres: list[np.ndarray] = []
    for place in wanted:
        if all(np.linalg.norm(place - other) > diameter + APART for other in centres):
            centres.append(place)
        if len(centres) == count:
            break
    grid = torch.from_numpy(np.indices(places.shape)).float()
    distances = [(grid - torch.from_numpy(c).float()[:, None, None, None]).square().sum(0).sqrt() for c in centres]
    return torch.stack([(d < diameter / 2).float() for d in distances])


def by_call(coarse: Tensor, flair: Tensor, fine: np.ndarray, noise: float, method: int, *, dims: int = 2) -> Tensor:
    """Map and deviation (2, X, Y[, Z]) by ``predict``, with the FLAIR on the fine grid, of that affine."""
    affine = fine @ torch.linalg.inv(subdivided(FACTOR, dims)).numpy()
    guide = flair.numpy() if dims == 3 else flair[..., None].numpy()
    found = predict(
        coarse.numpy(), affine=affine, flair=guide, flair_affine=fine, noise=noise, method=method, dims=dims
    )
    return torch.from_numpy(np.stack([found.sr, found.uncertainty]))


def _public(context: Context) -> None:
    """Slices by the public call: the same figures as by the inferer."""
    for set_, chosen in sets(context, 8):
        fine, flair = stacked(chosen, "fine"), stacked(chosen, "flair")
        coarse = noisy(KSPACE.A(fine), 0.01, context.seed)
        for method, name in OURS.items():
            preds = [
                by_call(c, f, case.grid.affine(), 0.01, method)[0]
                for c, f, case in zip(coarse, flair, chosen, strict=True)
            ]
            record(context, set_, "public call, noise 0.01", f"{name}, public call", torch.stack(preds), chosen)
            pred = ours(coarse, flair, method=method, noise=0.01)[0]
            record(context, set_, "public call, noise 0.01", name, pred, chosen)


def brain_volume(anatomy: Any, seed: int) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    """A tCho map, FLAIR and brain (184, 184, 128) of a head with a glioma, voxels of 1.4 mm; their affine."""
    own = anatomy.tumour is not None
    subject = VirtualSubject(seed, anatomy=anatomy, tumours=0 if own else 1, deform=False)
    spacing = FIELD_OF_VIEW / FINE
    grid = Grid((FINE, FINE, 128), (spacing,) * 3, (0.0, -15.0, 18.0), subsamples=(1, 1, 1))
    rng = np.random.default_rng(seed)
    tissues = subject.tissues(grid)
    brain = tissues.brain > 0.5
    image = concentration_map(tissues, draw_concentrations(rng, "high")["tCho"])
    return image / image.max(), scaled_to_brain(mri(tissues, grid, "flair", rng), brain) * brain, brain, grid.affine()


def _real(context: Context) -> None:
    """The glioma patient's own FLAIR, with maps from its tissues and tumour; pictures of it and of every set."""
    chosen = next(found for name, found in sets(context, 16) if name == "glioma")
    fine, real, brain = stacked(chosen, "fine"), own_flair(chosen, context.data), stacked(chosen, "brain")
    coarse = KSPACE.A(fine)
    results = {name: run(coarse, real, brain, 0.0) for name, run in everything().items()}
    for name, pred in results.items():
        record(context, "glioma", "measured FLAIR", name, pred, chosen)
    rows = []
    for k in np.argsort([-float(case.tissues.tumour.sum()) for case in chosen])[:3]:
        row: dict[str, Any] = {"MRI": _near(real[k]), "coarse": _near(cubic(coarse[k], FACTOR))}
        row |= {name: _near(results[name][k]) for name in SHOWN if name in results}
        rows.append(row | {"truth": _near(fine[k])})
    draw(rows, context.figures / "glioma.png")
    rows = []
    for _, some in sets(context, 16):
        one = some[:1]
        truth, guide, inside = (stacked(one, name) for name in ("fine", "flair", "brain"))
        given = noisy(KSPACE.A(truth), 0.02, context.seed)
        row = {"MRI": _near(guide[0]), "bicubic": _near(cubic(given, FACTOR)[0])}
        row |= {n: _near(run(given, guide, inside, 0.02)[0]) for n, run in everything().items() if n in SHOWN}
        _, sd = ours(given, guide, method=2, noise=0.02)
        rows.append(row | {"truth": _near(truth[0]), "SD, DLmethod_2": _near(sd[0])})
    draw(rows, context.figures / "examples.png")


def _near(image: Tensor) -> Tensor:
    """The head without the empty field of view around it."""
    return image[30:-30, 24:-24]


SHOWN = (WTV, FNLM, "U-Net", "GAN", "U-Net, two inputs", *OURS.values())
STRONGEST = ("bicubic + kDC", "TV + kDC", WTV, "wTV + FNLM", *OURS.values())
WITHOUT_MRI = ("bicubic", "bicubic + kDC", "TV + kDC", "wTV", "U-Net", "GAN", OURS[1])
TABLE_1, TABLE_2, COST = "Table 1", "Table 2", "cost"
HEALTHY = ", healthy subjects"
PEOPLE = "", HEALTHY
"""The paper's tables are of patients and of healthy subjects, in shares that it does not print."""

UNALIGNED, AS_IN_TABLE_1 = "bicubic, unaligned", ", as in Table 1"
AGAINST = {TABLE_1: ("bicubic", "TV"), TABLE_2: ("bicubic", "wTV", FNLM, "wTV + FNLM")}
"""What the paper tests its networks against by Mann-Whitney's U."""

PICTURED = {
    TABLE_1: ("bicubic", "TV", "U-Net", "GAN"),
    TABLE_2: (
        "bicubic", "wTV", "U-Net, as in Table 1", "GAN, as in Table 1", FNLM, "wTV + FNLM",
        "U-Net + FNLM", "GAN + FNLM", "U-Net, two inputs", "GAN, two inputs", OURS[2],
    ),
}  # fmt: skip
ZOOM = 26
"""Half the side, in fine voxels, of the pictures of tumours."""

LEVELS, DIAMETERS, SHIFTS = (0.0, 0.01, 0.03, 0.05), (5.0, 10.0, 20.0), (0, 1, 2, 3)
TV_ITERATIONS = 100
VOLUME_LEVELS = (0.03,)
VOLUME_LESION_LEVELS = (0.0, 0.03)
STRONGEST_IN_VOLUMES = ("zero filling", WTV, "wTV(MRI) + FNLM")
APART = 8
"""Fine voxels between lesions of a volume: two coarse ones."""

LESION_NOISES = (("", 0.0, True), (", noise 0.03", 0.03, True), (", noise 0.03 not told", 0.03, False))
"""How the condition is called, the noise, and whether ours is told it."""

FILTER_A_VOLUME = """
import torch
from mrsikit.restoration.non_local_means import feature_non_local_means, mri_features
volume = torch.rand(1, 184, 184, 128)
feature_non_local_means(volume, mri_features([volume], volume), window=5, slab=16)
"""
SUPER_RESOLVE_VOLUME = """
import numpy as np
from mrsi_gan_super_resolution import predict
x, y, z = np.mgrid[-1:1:46j, -1:1:46j, -1:1:32j]
head = (x**2 + y**2 + z**2 < 0.6).astype(np.float32)
affine = np.diag([5.6, 5.6, 5.6, 1.0])
flair = np.kron(head, np.ones((4, 4, 4), np.float32))
fine = affine @ np.array([[.25, 0, 0, -.375], [0, .25, 0, -.375], [0, 0, .25, -.375], [0, 0, 0, 1]])
predict(head, affine=affine, flair=flair, flair_affine=fine, noise=0.03, method=2, dims=3)
"""

PARTS: dict[str, Callable[[Context], Any]] = {
    "tables": _tables, "noise": _noise, "lesions": _lesions, "shift": _shift, "public": _public, "real": _real,
    "volume": _volume, "volume_lesions": _volume_lesions, "cost": _cost,
}  # fmt: skip


def _gain(condition: str, method: str, over: str, metric: str = "PSNR, dB") -> Callable[..., float]:
    return lambda rows, s: find(rows, s, condition, method, metric) - find(rows, s, condition, over, metric)


def _row(condition: str, method: str, metric: str) -> Callable[..., float]:
    return lambda rows, s: find(rows, s, condition, method, metric)


def _best_learned(rows: Sequence[Mapping[str, Any]], set_: str) -> float:
    """PSNR of the best network of Table 2 over FLAIR-weighted total variation."""
    names = [OURS[2], OURS[3], *(f"{name}, two inputs" for name in NETWORKS.values())]
    found = [find(rows, set_, TABLE_2, name, "PSNR, dB") for name in names]
    return float(np.nanmax(found)) - find(rows, set_, TABLE_2, WTV, "PSNR, dB")


def _once(method: str, metric: str) -> Callable[..., float]:
    return lambda rows, s: find(rows, "any", COST, method, metric) if s == SETS[0] else float("nan")


TARGETS = [
    Target("Table 1: U-Net over aligned bicubic, dB", 4.5, False, _gain(TABLE_1, "U-Net", "bicubic")),
    Target("Table 1: U-Net over TV + kDC, dB", 1.5, False, _gain(TABLE_1, "U-Net", "TV + kDC")),
    Target("Table 2: best learned over wTV(MRI) + kDC, dB", 2.0, False, _best_learned),
    *(Target(f"noise {n:g}, DLmethod_{m}, brain: PSNR over the better of bicubic with and without kDC, dB", 0, False,
             lambda rows, s, n=n, m=m: find(rows, s, f"noise {n:g}", OURS[m], "PSNR, brain, dB")
             - max(find(rows, s, f"noise {n:g}", b, "PSNR, brain, dB") for b in ("bicubic", "bicubic + kDC")))
      for n in LEVELS for m in OURS),
    *(Target(f"lesion of {d} mm in the map alone, DLmethod_{m}: bias, %", -limit, False,
             _row(f"lesions of {d} mm", OURS[m], "bias, map only, %"), "%.1f", high=limit)
      for d, limit in ((20, 4), (10, 10)) for m in OURS),
    *(Target(f"lesion of 5 mm in the map alone, DLmethod_{m}: absolute bias less bicubic + kDC's, %", 0, True,
             lambda rows, s, m=m: abs(find(rows, s, "lesions of 5 mm", OURS[m], "bias, map only, %"))
             - abs(find(rows, s, "lesions of 5 mm", "bicubic + kDC", "bias, map only, %")), "%.1f") for m in OURS),
    *(Target(f"lesion of {d} mm in FLAIR alone, DLmethod_{m}: leak, %", 2, True,
             _row(f"lesions of {d} mm", OURS[m], "leak, FLAIR only, %"), "%.1f")
      for m in (2, 3) for d in (5, 10, 20)),
    *(Target(f"90 % intervals cover, DLmethod_{m}, noise {n:g}", 0.87, False,
             _row(f"noise {n:g}", OURS[m], "90 % intervals cover"), high=0.93) for m in OURS for n in (0, 0.03)),
    *(Target(f"rank correlation of error, DLmethod_{m}, noise {n:g}", 0.45, False,
             _row(f"noise {n:g}", OURS[m], "rank correlation of error")) for m in OURS for n in (0, 0.03)),
    Target("GAN over U-Net, Table 2: edge width at tumours, voxels", 0, True,
           _gain(TABLE_2, "GAN", "U-Net", "edge width, tumour, voxels")),
    Target("GAN over U-Net, Table 1: edge width at tumours, voxels", 0, True,
           _gain(TABLE_1, "GAN", "U-Net", "edge width, tumour, voxels")),
    Target("FNLM, 184 x 184, window of 11: time over skimage's slow NLM", 1, True,
           _once("FNLM, 184 x 184, window of 11", "time / skimage's slow NLM")),
    Target("FNLM, 184 x 184 x 128: peak memory, GB", 3, True,
           _once("FNLM, 184 x 184 x 128, window of 5", "peak memory of the process, GB")),
    Target("a whole brain, DLmethod_2: peak memory, GB", 3, True, _once(OURS[2], "peak memory of the process, GB")),
    Target("FNLM, volume: time a voxel at four times the voxels over that at one", 1.3, True,
           _once("FNLM, volume, window of 5", "time a voxel, 4 times the voxels")),
]  # fmt: skip

QUALITY = {"PSNR, dB": "%.2f", "SSIM": "%.3f", "FSIM": "%.3f", "PSNR, brain, dB": "%.2f"}
EDGES = {"edge width, tumour, voxels": "%.2f", "edge width, ventricles, voxels": "%.2f"}


def _tests(others: Sequence[str]) -> dict[str, str]:
    return {f"p of {metric} against {other}": "%.1g" for other in others for metric in ("PSNR", "SSIM", "FSIM")}


TABLES = [
    *(Table(f"Table 1 of the paper{p}: no MRI, the softer ground truth", TABLE_1 + p, QUALITY) for p in PEOPLE),
    *(Table(f"Table 2 of the paper{p}: the sharp ground truth", TABLE_2 + p, QUALITY,
            "wTV(MRI) + kDC is weighted by the FLAIR; wTV by its own first result. FNLM is ours, with data consistency."
            " U-Net and GAN learned from the sharp truth; as in Table 1, from the soft one.")
      for p in PEOPLE),
    *(Table(f"Gains over conventional methods, {TABLE_1 + p}", TABLE_1 + p,
            {f"{metric} / that of {name}": "%.3f" for name in AGAINST[TABLE_1] for metric in ("PSNR", "SSIM", "FSIM")})
      for p in PEOPLE),
    *(Table(f"Mann-Whitney tests, {condition + p}, against {' and '.join(others)}", condition + p, _tests(others))
      for condition, against in AGAINST.items() for others in (against[:2], against[2:]) if others for p in PEOPLE),
    Table("Edges, Table 1", TABLE_1, EDGES),
    Table("Edges, Table 2", TABLE_2, EDGES),
    *(Table(f"Noise {n:g}", f"noise {n:g}", {"PSNR, brain, dB": "%.2f", "PSNR, dB": "%.2f", "SSIM": "%.3f",
            "90 % intervals cover": "%.2f", "rank correlation of error": "%.2f"}) for n in LEVELS),
    *(Table(f"Lesions of {d:g} mm{c}", f"lesions of {d:g} mm{c}",
            {"bias, map only, %": "%.0f", "bias, in both, %": "%.0f", "leak, FLAIR only, %": "%.1f"})
      for d in DIAMETERS for c, _, _ in LESION_NOISES),
    *(Sweep(f"Bias of lesions of {d:g} mm in the map alone by shape, %",
            {f"lesions of {d:g} mm, {kind}": kind for kind in SHAPES},
            {m: m for m in ("bicubic + kDC", WTV, OURS[2], OURS[3])}, "bias, map only, %", "%.0f")
      for d in DIAMETERS[1:]),
    *(Table(f"FLAIR shifted by {n} fine voxels", f"prior shifted {n} voxels",
            {"PSNR, dB": "%.2f", "PSNR, brain, dB": "%.2f"}) for n in SHIFTS),
    *(Table(f"A whole brain, noise {n:g}", f"volume, noise {n:g}",
            {"PSNR, dB": "%.2f", "PSNR, brain, dB": "%.2f", "minutes of processor time": "%.1f",
             "90 % intervals cover": "%.2f", "rank correlation of error": "%.2f"})
      for n in VOLUME_LEVELS),
    *(Table(f"Balls of {d:g} mm in a volume, noise {n:g}", f"volume, balls of {d:g} mm, noise {n:g}",
            {"bias, map only, %": "%.0f", "leak, FLAIR only, %": "%.1f"})
      for d in DIAMETERS for n in VOLUME_LESION_LEVELS),
    Table("By the public call, noise 0.01", "public call, noise 0.01", {"PSNR, dB": "%.2f", "PSNR, brain, dB": "%.2f"}),
    Table("The glioma's own FLAIR", "measured FLAIR", {"PSNR, dB": "%.2f", "SSIM": "%.3f", "PSNR, brain, dB": "%.2f"}),
    Table("Cost", COST, {"time / skimage's slow NLM": "%.2f", "time a voxel, 4 times the voxels": "%.2f",
                         "peak memory of the process, GB": "%.2f"}),
]  # fmt: skip

HEADLINE = Headline(
    (
        Column("slice, measured FLAIR: PSNR in the brain, dB", "psnr_brain_db_glioma_measured_flair",
               "glioma", "measured FLAIR", "PSNR, brain, dB", "%.1f", "↑"),
        Column("whole brain, noise: PSNR in the brain, dB", "psnr_brain_db_glioma_volume",
               "glioma", "volume, noise 0.03", "PSNR, brain, dB", "%.1f", "↑"),
        Column("ball of 10 mm in FLAIR alone, noise: leak, % of its contrast", "leak_percent_ball_10_mm_flair_only",
               "glioma", "volume, balls of 10 mm, noise 0.03", "leak, FLAIR only, %", "%.1f"),
    ),
    {"FLAIR-weighted total variation": (WTV,), "the same, then non-local means": ("wTV(MRI) + FNLM",),
     "this bundle, DLmethod_2": (OURS[2],), "this bundle, DLmethod_3": (OURS[3],)},
    "this bundle, DLmethod_2",
)  # fmt: skip


def figures(rows: Sequence[dict[str, Any]], output: Path) -> None:
    """None from the rows alone: the parts draw theirs."""
