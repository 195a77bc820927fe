"""Sharpening metabolite maps: brains the network never saw, both acquisitions, noise, mismatched MRIs, lesions."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor
from tqdm import tqdm

from benchmark import REPOSITORY, Context, peak_memory
from benchmarks import dicom_series, hfab_tables, interpolated_maps, mri_checks, shaded_maps, sodium
from benchmarks.carbon13 import carbon13_maps
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
    spline,
    stacked,
    tumour_heights,
)
from mrsi_super_resolution import predict
from mrsi_super_resolution.reference_unet import PlainUNet
from mrsikit.metrics.image_quality import psnr
from mrsikit.metrics.lesion_fidelity import lesion_bias, lesion_change, lesion_leak
from mrsikit.metrics.perceptual import LPIPS
from mrsikit.metrics.statistics import mann_whitney_p
from mrsikit.phantoms import anatomy as anatomies
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri, scaled_to_brain
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.inferer import super_resolved
from mrsikit.super_resolution.mri_alignment import shift_needed
from mrsikit.super_resolution.network import TV_STRENGTH, SuperResolution
from mrsikit.super_resolution.preprocessing import subdivided
from mrsikit.super_resolution.scale_check import Coarse
from mrsikit.super_resolution.tissue_mask import background, tissue_mask
from result_tables import Column, Headline, Sweep, Table, Target, find

logger = logging.getLogger(__name__)

MODELS = REPOSITORY / "bundles" / "mrsi_super_resolution" / "models"
FINE, FACTOR, FIELD_OF_VIEW, THICKNESS = 128, 4, 220.0, 10.0
GEOMETRY: Any = {"size": FINE, "field_of_view": FIELD_OF_VIEW, "thickness": THICKNESS}
BLOCK, KSPACE = SpatialEncoding("block", FACTOR), SpatialEncoding("kspace", FACTOR)
ACQUISITIONS = {"block": BLOCK, "k-space": KSPACE}
INTERPOLATION = {"block": "bicubic + DC", "k-space": "zero filling"}
OURS, OURS_FLAIR = "ours, no MRI", "ours, FLAIR"
OURS_T1, OURS_BOTH = "ours, T1", "ours, FLAIR and T1"
UNET, UNET_FLAIR = "plain U-Net, no MRI", "plain U-Net, FLAIR"
SHORT, SHORT_FLAIR = "ours of the U-Net's budget, no MRI", "ours of the U-Net's budget, FLAIR"
WTV = "FLAIR-weighted TV + DC"
ETA = 0.1
"""Of the weighted total variation, chosen on BrainWeb 1."""

NOISES = (0.01, 0.03, 0.05, 0.1)
FEWEST = 20
"""Fluid of fewer voxels in a slice is left out."""


def load_weights(name: str, net: torch.nn.Module) -> torch.nn.Module | None:
    """A network with shipped weights; None where they are not there."""
    path = MODELS / name
    if not path.exists():
        logger.warning("%s is not there: its rows are left out", path.name)
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return net.eval()


def load_network() -> torch.nn.Module:
    """The shipped weights."""
    net = load_weights("model.pt", SuperResolution(collapsed=True))
    if net is None:
        raise FileNotFoundError(f"{MODELS / 'model.pt'}: train the bundle first")
    return net


def learned_references(coarse: Tensor, encoding: SpatialEncoding, flair: Tensor) -> dict[str, Tensor]:
    """The equal-size U-Net, ours trained as long, and the published networks, those whose weights are there."""
    out = {}
    unet = load_weights("model_unet.pt", PlainUNet())
    short = load_weights("model_unet_budget.pt", SuperResolution(collapsed=True))
    for net, alone, guided in ((unet, UNET, UNET_FLAIR), (short, SHORT, SHORT_FLAIR)):
        if net is not None:
            for method, mris in ((alone, None), (guided, {"flair": flair})):
                out[method] = ours(net, coarse, encoding, mris, consistency=False)[0]
    for method in (UNET, UNET_FLAIR):  # it keeps no consistency of its own
        if method in out:
            wrong = coarse - encoding.A(out[method])
            out[f"{method} + DC"] = out[method] + encoding.interpolate(wrong)
    return out | hfab_tables.hfab_maps(coarse, flair) if encoding == BLOCK else out


def ours(
    net: torch.nn.Module,
    coarse: Tensor,
    encoding: SpatialEncoding,
    images: Mapping[str, Tensor] | None = None,
    *,
    noise: float | None = 0.0,
    consistency: bool = True,
    check: bool = True,
) -> tuple[Tensor, Tensor]:
    """SuperResolved maps and their standard deviations (N, X, Y) of coarse ones, maximum about 1, with MRIs by name.

    Each map has its own check. Without ``consistency``, by the network alone, without the steps that read its error off
    the data.
    """
    found = []
    for n in range(len(coarse)):
        top = coarse[n].abs().max()
        start = encoding.interpolate(coarse[n : n + 1] / top)[0, ..., None]
        level = torch.full_like(start, torch.nan if noise is None else float(noise / top))
        mris = {name: image[n, ..., None] for name, image in (images or {}).items()}
        with torch.no_grad():
            given = Coarse(start, level, mris, encoding)
            found.append(super_resolved(net, given, consistency=consistency, check=check)[0][..., 0] * top)
    both = torch.stack(found)
    return both[:, 0], both[:, 1]


def classical(coarse: Tensor, encoding: SpatialEncoding, flair: Tensor | None) -> dict[str, Callable[[], Tensor]]:
    """What one would use instead; the last only where there is a FLAIR."""
    out: dict[str, Callable[[], Tensor]] = {
        "nearest": lambda: BLOCK.A_dagger(coarse),
        "spline": lambda: spline(coarse, FACTOR),
        "bicubic": lambda: cubic(coarse, FACTOR),
        "bicubic + DC" if encoding == BLOCK else "zero filling": lambda: encoding.interpolate(coarse),
        "TV + DC": lambda: total_variation(coarse, encoding),
    }
    if flair is not None:
        out[WTV] = lambda: total_variation(coarse, encoding, mri=flair, eta=ETA)
    return out


def measure(context: Context) -> None:
    """Fill the context's rows."""
    for part in tqdm(PARTS.values(), desc="benchmark", unit="part"):
        part(context)


def _sets(context: Context, count: int) -> list[tuple[str, list[Case]]]:
    """The same cases for every part."""
    count = max(2, count // 8) if context.quick else count
    out = []
    for k, name in enumerate(SETS):
        rng = np.random.default_rng([context.seed, k])
        out.append((name, cases(load_anatomy(name, context.data), count, rng, **GEOMETRY)))
    return out


def perceptual(data: Path) -> LPIPS | None:
    """LPIPS, where its weights are."""
    folder = data / "lpips_alexnet"
    files = folder / "alexnet_features_torchvision_format.pth", folder / "lpips_alex_linear_heads_v0.1.pth"
    return LPIPS(*files) if all(file.exists() for file in files) else None


def _quality(context: Context) -> None:
    """Every method without noise, both acquisitions; Mann-Whitney's test against ours; coverage of our intervals."""
    net, lpips = load_network(), perceptual(context.data)
    pictures = {}
    for set_, chosen in _sets(context, 40):
        fine, flair, t1, brain = (stacked(chosen, name) for name in ("fine", "flair", "t1", "brain"))
        for condition, encoding in ACQUISITIONS.items():
            coarse = encoding.A(fine)
            results = {method: run() for method, run in classical(coarse, encoding, flair).items()}
            results |= learned_references(coarse, encoding, flair)
            spreads = {}
            for method, images in (
                (OURS, {}), (OURS_FLAIR, {"flair": flair}), (OURS_T1, {"t1": t1}),
                (OURS_BOTH, {"flair": flair, "t1": t1}),
            ):  # fmt: skip
                results[method], spreads[method] = ours(net, coarse, encoding, images)
            base = psnr(results["spline"][:, None], fine[:, None], data_range=1)
            own = psnr(results[OURS_FLAIR][:, None], fine[:, None], data_range=1)
            for method, pred in results.items():
                record(context, set_, condition, method, pred, chosen)
                other = psnr(pred[:, None], fine[:, None], data_range=1)
                context.add(set_, condition, method, "PSNR over spline, dB", (other - base).tolist())
                if method != OURS_FLAIR:
                    p = mann_whitney_p(own.tolist(), other.tolist())
                    context.add(set_, condition, method, "Mann-Whitney p of PSNR against ours, FLAIR", [p])
                if lpips is not None:
                    with torch.no_grad():
                        found = lpips(pred[:, None].clamp(0, 1), fine[:, None]).tolist()
                    context.add(set_, condition, method, "LPIPS", found)
            for method, sd in spreads.items():
                record_uncertainty(context, set_, condition, method, results[method], sd, chosen)
            pictures[set_, condition] = (chosen, results, spreads)
    _examples(pictures, context.figures)


def _noise(context: Context) -> None:
    """Noise of .01 to .1 of the map's maximum, known to the methods that can use it; brain-masked."""
    net = load_network()
    for set_, chosen in _sets(context, 24):
        fine, flair = stacked(chosen, "fine"), stacked(chosen, "flair")
        for name, encoding in ACQUISITIONS.items():
            clean = encoding.A(fine)
            for level in NOISES:
                generator = torch.Generator().manual_seed(context.seed)
                coarse = clean + level * torch.randn(clean.shape, generator=generator)
                condition, strength = f"{name}, noise {level:g}", TV_STRENGTH * level
                results = {
                    "bicubic": cubic(coarse, FACTOR),
                    INTERPOLATION[name]: encoding.interpolate(coarse),
                    "TV": total_variation(coarse, encoding, strength=strength),
                    "FLAIR-weighted TV": total_variation(coarse, encoding, mri=flair, eta=ETA, strength=strength),
                }
                spreads = {}
                for method, images, known in (
                    (OURS, {}, level), (OURS_FLAIR, {"flair": flair}, level), (f"{OURS}, noise unknown", {}, None),
                    (f"{OURS_FLAIR}, noise unknown", {"flair": flair}, None),
                ):  # fmt: skip
                    results[method], spreads[method] = ours(net, coarse, encoding, images, noise=known)
                for method, pred in results.items():
                    record(context, set_, condition, method, pred, chosen)
                    again = (encoding.A(pred) - coarse).square().mean((1, 2)).sqrt() / level
                    context.add(set_, condition, method, "measured again: RMS change / noise", again.tolist())
                    context.add(set_, condition, method, "bias in fluid, % of tissue", fluid_bias(pred, chosen))
                for method, sd in spreads.items():
                    record_uncertainty(context, set_, condition, method, results[method], sd, chosen)


def fluid_bias(pred: Tensor, chosen: Sequence[Case]) -> list[float]:
    """Mean of a map in fluid, where the truth is next to 0, less the truth's, in percent of the truth's in tissue."""
    out = []
    for image, case in zip(pred, chosen, strict=True):
        fluid, tissue = case.tissues.csf > 0.95, case.tissues.gm + case.tissues.wm > 0.95
        if int(fluid.sum()) >= FEWEST:
            out.append(float(100 * (image - case.fine)[fluid].mean() / case.fine[tissue].mean()))
    return out


def _factors(context: Context) -> None:
    """Factors 2 and 3, Hamming's filter, and a matrix of 16, with and without FLAIR."""
    net = load_network()
    for set_, chosen in _sets(context, 16):
        fine, flair = stacked(chosen, "fine"), stacked(chosen, "flair")
        for factor, psf, name in (
            (2, "block", "factor 2, block"), (3, "block", "factor 3, block"), (2, "kspace", "factor 2, k-space"),
            (4, "hamming", "factor 4, Hamming"), (4, "block", "factor 4, block, matrix 16"),
        ):  # fmt: skip
            encoding = SpatialEncoding(psf, factor)
            size = FINE // (2 * factor) * 2 * factor
            cut = [image[:, 1 : 1 + size, 1 : 1 + size] if size < FINE else image for image in (fine, flair)]
            if "matrix 16" in name:
                cut = [SpatialEncoding("block", 2).A(image) for image in cut]
            coarse = encoding.A(cut[0])
            for method, pred in (
                ("spline", spline(coarse, factor)),
                ("aligned interpolation + DC", encoding.interpolate(coarse)),
                (OURS, ours(net, coarse, encoding)[0]),
                (OURS_FLAIR, ours(net, coarse, encoding, {"flair": cut[1]})[0]),
            ):
                found = psnr(pred[:, None], cut[0][:, None], data_range=1)
                context.add(set_, name, method, "PSNR, dB", found.tolist())


def _ratio(context: Context) -> None:
    """TCho over NAA in tumours: the ratio of the sharpened maps' means over the tumour, against the truth's."""
    net = load_network()
    for set_ in SETS:
        anatomy, rng = load_anatomy(set_, context.data), np.random.default_rng([context.seed, 5])
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(3 if context.quick else 24):
            pair = tumour_pair(anatomy, rng)
            if pair is None:
                continue
            maps, flair, tumour = pair
            truth = (maps[0] * tumour).sum() / (maps[1] * tumour).sum()
            for name, encoding in ACQUISITIONS.items():
                coarse = encoding.A(maps)
                guide = {"flair": flair.expand(2, -1, -1)}
                for method, pred in (
                    (INTERPOLATION[name], encoding.interpolate(coarse)),
                    (OURS, ours(net, coarse, encoding)[0]),
                    (OURS_FLAIR, ours(net, coarse, encoding, guide)[0]),
                ):
                    where = (tumour > 0.5) & (pred[1] > 0.05)
                    voxels = (pred[0] / pred[1] - maps[0] / maps[1])[where].abs() / (maps[0] / maps[1])[where]
                    found.setdefault((name, f"{method}: voxels"), []).append(100 * float(voxels.median()))
                    ratio = (pred[0] * tumour).sum() / (pred[1] * tumour).sum()
                    found.setdefault((name, method), []).append(100 * float(ratio / truth - 1))
        for (name, method), values in found.items():
            if method.endswith(": voxels"):
                method = method.removesuffix(": voxels")
                context.add(set_, f"tumour tCho/NAA, {name}", method, "median absolute error of a voxel, %", values)
                continue
            context.add(set_, f"tumour tCho/NAA, {name}", method, "bias, %", values)
            context.add(set_, f"tumour tCho/NAA, {name}", method, "mean absolute error, %", np.abs(values).tolist())


def tumour_pair(anatomy: anatomies.Anatomy, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor] | None:
    """TCho and NAA (2, X, Y), maximum 1, FLAIR and the viable tumour (X, Y) of one slice; None without tumour."""
    own = anatomy.tumour is not None
    subject = VirtualSubject(int(rng.integers(2**31)), anatomy=anatomy, tumours=0 if own else 1, deform=False)
    grade = str(rng.choice(["low", "high"]))
    height = float(rng.choice(tumour_heights(anatomy))) if own else 0.0
    if subject.tumours.tumours:
        height, grade = float(subject.tumours.tumours[0].centre[2]), subject.tumours.tumours[0].grade
    spacing = FIELD_OF_VIEW / FINE
    grid = Grid((FINE, FINE), (spacing, spacing), (0.0, 0.0, height), THICKNESS, (2, 2, 3))
    tissues, drawn = subject.tissues(grid), draw_concentrations(rng, grade)
    if tissues.viable.sum() < 20:
        return None
    maps = torch.stack([concentration_map(tissues, drawn[name]) for name in ("tCho", "NAA")])
    flair = scaled_to_brain(mri(tissues, grid, "flair", rng), tissues.brain > 0.5)
    return maps / maps.amax((1, 2), keepdim=True), flair, tissues.viable


def _cost(context: Context) -> None:
    """Processor time of one 32 x 32 slice on one core, against skimage's TV on the fine grid; memory of a process."""
    net, threads = load_network(), torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(context.seed)
    chosen = cases(load_anatomy(SETS[0], context.data), 2 if context.quick else 8, rng, **GEOMETRY)
    fine = stacked(chosen, "fine")
    coarse = BLOCK.A(fine)
    ratios = []
    ours(net, coarse[:1], BLOCK)
    for n in range(len(chosen)):
        repeated = BLOCK.A_dagger(coarse[n]).numpy()
        times = [float("inf"), float("inf")]
        for _ in range(5):
            start = time.process_time()
            denoise_tv_chambolle(repeated)
            middle = time.process_time()
            ours(net, coarse[n : n + 1], BLOCK)
            found = middle - start, time.process_time() - middle
            times = [min(a, b) for a, b in zip(times, found, strict=True)]
        ratios.append(times[1] / times[0])
    torch.set_num_threads(threads)
    context.add("any", COST, OURS, "time / TV-Chambolle", ratios)
    context.add("any", COST, OURS, "peak memory of the process, GB",
                [peak_memory([sys.executable, "-c", SUPER_RESOLVE_SLICE])])  # fmt: skip


COST = "cost of a slice, 32 to 128"
MEASURED = ("prostate pc6071, pyruvate", "prostate pc6088, pyruvate", "primate brain, lactate")
SUPER_RESOLVE_SLICE = (
    "import numpy as np; from mrsi_super_resolution import predict; v = np.zeros((32, 32), np.float32);"
    "v[8:24, 6:26] = 1; v[12, 12] = 2; predict(v, noise=0.01)"
)


def _real(context: Context) -> None:
    """A glioma patient's own FLAIR, with maps from the tissues and the tumour."""
    net = load_network()
    chosen = next(found for name, found in _sets(context, 40) if name == "glioma")
    fine, simulated, real = stacked(chosen, "fine"), stacked(chosen, "flair"), own_flair(chosen, context.data)
    pictures = []
    for name, encoding in ACQUISITIONS.items():
        coarse = encoding.A(fine)
        results = {
            "spline": spline(coarse, FACTOR),
            "TV + DC": total_variation(coarse, encoding),
            WTV: total_variation(coarse, encoding, mri=real, eta=ETA),
            OURS: ours(net, coarse, encoding)[0],
            "ours, simulated FLAIR": ours(net, coarse, encoding, {"flair": simulated})[0],
            OURS_FLAIR: ours(net, coarse, encoding, {"flair": real})[0],
        }
        if encoding == BLOCK:
            results |= {"nearest": BLOCK.A_dagger(coarse), **hfab_tables.hfab_maps(coarse, real)}
        for method, pred in results.items():
            record(context, "glioma", f"{name}, measured FLAIR", method, pred, chosen)
        if encoding == BLOCK:
            largest = np.argsort([-float(case.tissues.tumour.sum()) for case in chosen])[:3]
            for k in largest:
                row = {"MRI": real[k], "coarse": BLOCK.A_dagger(coarse[k])}
                row |= {m: results[m][k] for m in ("spline", WTV, OURS, OURS_FLAIR)} | {"truth": fine[k]}
                pictures.append(row)
    draw(pictures, context.figures / "glioma.png")


def _measured(context: Context) -> None:
    """Draw really measured maps, for which there is no truth."""
    rows = []
    maps = carbon13_maps(context.data)
    for name in MEASURED:
        values, _ = maps[name]
        found = predict(values, factor=4)
        rows.append({f"measured: {name}": values, "sharpened": found.sr, "standard deviation": found.uncertainty})
    draw(rows, context.figures / "real_maps.png", each=True)


def _public(context: Context) -> None:
    """The same by the public call: affines, FLAIR of 1 mm voxels on its own grid, noise by Cramer-Rao bounds."""
    net = load_network()
    for set_, chosen in _sets(context, 12):
        preds: dict[str, list[Tensor]] = {}
        for k, case in enumerate(chosen):
            rng = np.random.default_rng([context.seed, k])
            coarse = BLOCK.A(case.fine)
            noise = 0.01 * torch.from_numpy(rng.standard_normal(coarse.shape, dtype=np.float32))
            noisy = coarse + noise * (coarse > 0)
            fine = case.grid.affine()
            affine = fine @ torch.linalg.inv(subdivided(FACTOR)).numpy()
            shift = np.eye(4)
            shift[:2, :2] *= FINE / FIELD_OF_VIEW
            one_mm = fine @ shift
            size = int(FIELD_OF_VIEW)
            at = (np.arange(size) * FINE / FIELD_OF_VIEW)[:, None].repeat(size, 1)
            upright = ndimage.map_coordinates(case.flair.numpy(), [at, at.T], order=1)
            bounds = np.where(coarse > 0, 100 * 0.01 / np.maximum(noisy.numpy(), 1e-3), 999)
            values = noisy.numpy()
            found = {
                f"{OURS}, public call": predict(values, affine=affine, crlb=bounds).sr,
                f"{OURS_FLAIR}, public call": predict(
                    values, affine=affine, crlb=bounds, flair=upright[..., None], flair_affine=one_mm
                ).sr,
                OURS: ours(net, noisy[None], BLOCK, noise=0.01)[0][0].numpy(),
                OURS_FLAIR: ours(net, noisy[None], BLOCK, {"flair": case.flair[None]}, noise=0.01)[0][0].numpy(),
            }
            for method, pred in found.items():
                preds.setdefault(method, []).append(torch.from_numpy(pred))
        for method, stack in preds.items():
            record(context, set_, "public call, block, noise .01 in the head", method, torch.stack(stack), chosen)


def _shaded(context: Context) -> None:
    net = load_network()
    shaded_maps.measure(context, partial(ours, net), partial(ours, net, consistency=False))


def _hfab(context: Context) -> None:
    net = load_network()
    hfab_tables.measure(
        context, lambda coarse, flair: ours(net, coarse, BLOCK, {"flair": flair})[0], perceptual(context.data)
    )


def _examples(pictures: Mapping[tuple[str, str], tuple[Sequence[Case], Any, Any]], folder: Path) -> None:
    """The median and the worst case of each set, block average: maps, and errors of spline and of ours."""
    rows = []
    for set_ in SETS:
        chosen, results, spreads = pictures[set_, "block"]
        fine = stacked(chosen, "fine")
        order = np.argsort(psnr(results[OURS_FLAIR][:, None], fine[:, None], data_range=1).numpy())
        for k in (order[len(order) // 2], order[0]):
            row = {"MRI": chosen[k].flair, "coarse": results["nearest"][k]}
            row |= {m: results[m][k] for m in ("spline", "TV + DC", OURS, OURS_FLAIR)} | {"truth": fine[k]}
            row |= {
                "error, spline": results["spline"][k] - fine[k],
                "error, ours, FLAIR": results[OURS_FLAIR][k] - fine[k],
            }
            row["SD, ours, FLAIR"] = spreads[OURS_FLAIR][k]
            rows.append(row)
    draw(rows, folder / "examples.png")


def _mismatch(context: Context) -> None:
    """A FLAIR that lies beside the map, is turned, or has another contrast."""
    net = load_network()
    for set_, chosen in _sets(context, 24):
        fine, flair, t1 = (stacked(chosen, name) for name in ("fine", "flair", "t1"))
        coarse = BLOCK.A(fine)
        noisy = coarse + 0.03 * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(context.seed))
        affine = torch.diag(torch.tensor([FIELD_OF_VIEW / FINE, FIELD_OF_VIEW / FINE, THICKNESS, 1.0]))
        worse = {f"shifted {mm} mm": moved(flair, mm * FINE / FIELD_OF_VIEW) for mm in (1, 2, 3, 5)}
        worse |= {"turned 3 degrees": moved(flair, 0.0, 3.0), "a T1 in its place": t1}
        worse |= {"inverted": (1.1 - flair).clamp(min=0) * (flair > 0.02)}
        record(context, set_, "block, FLAIR none", OURS, ours(net, coarse, BLOCK)[0], chosen)
        for name, image in {"in place": flair, **worse}.items():
            condition = f"block, FLAIR {name}"
            pred, sd = ours(net, coarse, BLOCK, {"flair": image})
            record(context, set_, condition, OURS_FLAIR, pred, chosen)
            record_uncertainty(context, set_, condition, OURS_FLAIR, pred, sd, chosen)
            found = []
            for c, i in zip(noisy, image, strict=True):
                one = c[None, ..., None]
                tissue = tissue_mask(one, background(one))
                found.append(shift_needed(one, tissue, i[..., None], FACTOR, affine))
            context.add(set_, condition, OURS_FLAIR, "told that it is shifted, %", [100.0 * any(f) for f in found])


def _guided(net: torch.nn.Module, encoding: SpatialEncoding) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Methods as functions of coarse maps and FLAIRs."""
    return {
        INTERPOLATION["block" if encoding == BLOCK else "k-space"]: lambda c, f: encoding.interpolate(c),
        "TV + DC": lambda c, _: total_variation(c, encoding),
        WTV: lambda c, f: total_variation(c, encoding, mri=f, eta=ETA),
        OURS: lambda c, f: ours(net, c, encoding)[0],
        OURS_FLAIR: lambda c, f: ours(net, c, encoding, {"flair": f})[0],
    }


def _lesions(context: Context) -> None:
    """Lesions in the map alone (B), in both (C), in the FLAIR alone (D): bias and leak by size, both acquisitions."""
    net = load_network()
    for set_, chosen in _sets(context, 24):
        rng = np.random.default_rng(context.seed)
        for diameter in (5.0, 10.0, 20.0):
            lesion = lesions_in(chosen, diameter * FINE / FIELD_OF_VIEW, rng)
            fine, flair = stacked(chosen, "fine"), stacked(chosen, "flair")
            level = fine.flatten(1).quantile(0.95, 1)[:, None, None]
            signs = torch.tensor([1.0 if k % 3 else -0.6 for k in range(len(chosen))])[:, None, None]
            contrast = lesion * torch.where(signs > 0, signs * 0.6 * level, signs * fine)
            shown = flair + lesion * (0.9 - flair)
            for name, encoding in ACQUISITIONS.items():
                condition = f"{name}, lesions of {diameter:g} mm"
                coarse, plain = encoding.A(fine + contrast), encoding.A(fine)
                for method, run in _guided(net, encoding).items():
                    alone, both = run(coarse, flair), run(coarse, shown)
                    bias = 100 * lesion_bias(alone, fine + contrast, lesion, contrast)
                    context.add(set_, condition, method, "bias, map only, %", bias.tolist())
                    for k, kind in enumerate(SHAPES):
                        each = bias[k :: len(SHAPES)].tolist()
                        context.add(set_, f"{condition}, {kind}", method, "bias, map only, %", each)
                    context.add(set_, condition, method, "mean absolute bias, map only, %", bias.abs().tolist())
                    bias = 100 * lesion_bias(both, fine + contrast, lesion, contrast)
                    context.add(set_, condition, method, "bias, in both, %", bias.tolist())
                    invented, nominal = (run(plain, shown), run(plain, flair)), 0.6 * level[:, 0, 0]
                    leak = 100 * lesion_leak(*invented, lesion, nominal)
                    context.add(set_, condition, method, "leak, FLAIR only, %", leak.tolist())
                    change = 100 * lesion_change(*invented, lesion, nominal)
                    context.add(set_, condition, method, "mean absolute change, FLAIR only, %", change.tolist())


MISMATCHES = ("shifted 1 mm", "shifted 2 mm", "shifted 3 mm", "turned 3 degrees", "a T1 in its place", "inverted")
FARTHER = "shifted 5 mm"

PARTS: dict[str, Callable[[Context], Any]] = {
    "quality": _quality, "noise": _noise, "mismatch": _mismatch, "lesions": _lesions, "factors": _factors,
    "ratio": _ratio, "cost": _cost, "real": _real, "measured maps": _measured, "public": _public,
    "dicom": dicom_series.refused_series,
    **mri_checks.PARTS, **interpolated_maps.PARTS, **sodium.PARTS, "shaded maps": _shaded, "hfab": _hfab,
}  # fmt: skip


def _gain(condition: str, method: str, over: str, metric: str = "PSNR, dB") -> Callable[..., float]:
    return lambda rows, s: find(rows, s, condition, method, metric) - find(rows, s, condition, over, metric)


def _row(condition: str, method: str, metric: str) -> Callable[..., float]:
    return lambda rows, s: find(rows, s, condition, method, metric)


TARGETS = [
    Target("FLAIR, block: PSNR over spline, dB", 6.3, False, _gain("block", OURS_FLAIR, "spline")),
    Target("FLAIR, block: SSIM", 0.95, False, _row("block", OURS_FLAIR, "SSIM"), "%.3f"),
    Target("FLAIR, k-space: PSNR over FLAIR-weighted TV + DC, dB", 2.0, False, _gain("k-space", OURS_FLAIR, WTV)),
    Target("FLAIR, block, same budget: PSNR over the equal-size U-Net + DC, dB", 0.3, False,
           _gain("block", SHORT_FLAIR, f"{UNET_FLAIR} + DC")),
    Target("FLAIR, block: LPIPS over spline's", 0.5, True,
           lambda rows, s: find(rows, s, "block", OURS_FLAIR, "LPIPS") / find(rows, s, "block", "spline", "LPIPS")),
    Target("no MRI, block: PSNR over TV + DC, dB", 1.0, False, _gain("block", OURS, "TV + DC")),
    Target("no MRI, k-space: PSNR over TV + DC, dB", 1.0, False, _gain("k-space", OURS, "TV + DC")),
    *(Target(f"lesion of {d} mm in the map alone, with FLAIR, {a}: bias, %", -limit, False,
             _row(f"{a}, lesions of {d} mm", OURS_FLAIR, "bias, map only, %"), "%.1f", high=limit)
      for a in ACQUISITIONS for d, limit in ((20, 5), (10, 15))),
    *(Target(f"lesion of 5 mm in the map alone, with FLAIR, {a}: absolute bias less bicubic + DC's, %", 0, True,
             lambda rows, s, a=a: abs(find(rows, s, f"{a}, lesions of 5 mm", OURS_FLAIR, "bias, map only, %"))
             - abs(find(rows, s, f"{a}, lesions of 5 mm", INTERPOLATION[a], "bias, map only, %")), "%.1f")
      for a in ACQUISITIONS),
    *(Target(f"lesion of {d} mm in FLAIR alone, {a}: leak, %", 2, True,
             _row(f"{a}, lesions of {d} mm", OURS_FLAIR, "leak, FLAIR only, %"), "%.1f")
      for a in ACQUISITIONS for d in (5, 10, 20)),
    *(Target(f"FLAIR {what}: PSNR over none, dB", -0.3, False,
             lambda rows, s, w=what: find(rows, s, f"block, FLAIR {w}", OURS_FLAIR, "PSNR, dB")
             - find(rows, s, "block, FLAIR none", OURS, "PSNR, dB"))
      for what in MISMATCHES),
    *(Target(f"{a}, noise {n:g}, no MRI, brain: PSNR over the better interpolation, dB", 0, False,
             lambda rows, s, a=a, n=n: find(rows, s, f"{a}, noise {n:g}", OURS, "PSNR, brain, dB")
             - max(find(rows, s, f"{a}, noise {n:g}", m, "PSNR, brain, dB")
                   for m in ("bicubic", INTERPOLATION[a])))
      for a in ACQUISITIONS for n in (0.01, 0.03, 0.05)),
    Target("90 % intervals cover, FLAIR, block", 0.87, False, _row("block", OURS_FLAIR, "90 % intervals cover"),
           high=0.93),
    Target("rank correlation of error, FLAIR, block", 0.45, False,
           _row("block", OURS_FLAIR, "rank correlation of error")),
    *(Target(f"tumour tCho/NAA, FLAIR, {a}: bias, %", -limit, False,
             _row(f"tumour tCho/NAA, {a}", OURS_FLAIR, "bias, %"), "%.1f", high=limit)
      for a, limit in (("block", 4), ("k-space", 2))),
    *(Target(f"{a}, noise {n:g}, FLAIR: measured again, RMS change over the noise", 1, True,
             _row(f"{a}, noise {n:g}", OURS_FLAIR, "measured again: RMS change / noise"))
      for a in ACQUISITIONS for n in (0.01, 0.03, 0.05)),
    Target("time of a slice over TV-Chambolle's", 1, True,
           lambda rows, s: find(rows, "any", COST, OURS, "time / TV-Chambolle") if s == SETS[0] else float("nan")),
    Target("peak memory of the process, GB", 1, True,
           lambda rows, s: find(rows, "any", COST, OURS, "peak memory of the process, GB")
           if s == SETS[0] else float("nan")),
]  # fmt: skip

TABLES = [
    *(Table(f"Without noise, {name}", name,
            {"PSNR, dB": "%.2f", "SSIM": "%.3f", "PSNR, brain, dB": "%.2f", "LPIPS": "%.3f",
             "PSNR over spline, dB": "%.2f", "Mann-Whitney p of PSNR against ours, FLAIR": "%.1g"})
      for name in ACQUISITIONS),
    *(Table(f"Uncertainty, {name}", name, {"90 % intervals cover": "%.2f", "rank correlation of error": "%.2f"})
      for name in ACQUISITIONS),
    *(Table(f"Noise {level:g}, {name}", f"{name}, noise {level:g}",
            {"PSNR, brain, dB": "%.2f", "measured again: RMS change / noise": "%.2f",
             "bias in fluid, % of tissue": "%.1f", "90 % intervals cover": "%.2f"})
      for name in ACQUISITIONS for level in NOISES),
    Sweep("A FLAIR that does not agree: PSNR, dB, block average",
          {f"block, FLAIR {name}": name for name in ("none", "in place", *MISMATCHES, FARTHER)},
          {OURS_FLAIR: "with it", OURS: "without"}, "PSNR, dB"),
    Sweep("A FLAIR that does not agree: share of single slices, noise .03, whose flags say that it is shifted, %",
          {f"block, FLAIR {name}": name for name in ("in place", *MISMATCHES, FARTHER)}, {OURS_FLAIR: "told"},
          "told that it is shifted, %", "%.0f"),
    *(Table(f"Lesions of {d} mm, {name}", f"{name}, lesions of {d} mm",
            {"bias, map only, %": "%.0f", "mean absolute bias, map only, %": "%.0f", "bias, in both, %": "%.0f",
             "leak, FLAIR only, %": "%.1f", "mean absolute change, FLAIR only, %": "%.1f"})
      for name in ACQUISITIONS for d in (5, 10, 20)),
    *(Sweep(f"Bias of lesions of {d} mm in the map alone by shape, {name}, %",
            {f"{name}, lesions of {d} mm, {kind}": kind for kind in SHAPES},
            {m: m for m in (INTERPOLATION[name], "TV + DC", OURS, OURS_FLAIR)}, "bias, map only, %", "%.0f")
      for name in ACQUISITIONS for d in (10, 20)),
    *(Table(f"tCho over NAA in tumours, {name}", f"tumour tCho/NAA, {name}",
            {"bias, %": "%.1f", "mean absolute error, %": "%.1f", "median absolute error of a voxel, %": "%.1f"})
      for name in ACQUISITIONS),
    *(Table(f"Other grids: {name}", name, {"PSNR, dB": "%.2f"})
      for name in ("factor 2, block", "factor 3, block", "factor 2, k-space", "factor 4, Hamming",
                   "factor 4, block, matrix 16")),
    *(Table(f"The glioma's own FLAIR, {name}", f"{name}, measured FLAIR",
            {"PSNR, dB": "%.2f", "SSIM": "%.3f", "PSNR, brain, dB": "%.2f"}) for name in ACQUISITIONS),
    Table("By the public call", "public call, block, noise .01 in the head",
          {"PSNR, dB": "%.2f", "PSNR, brain, dB": "%.2f"},
          "The public call has a FLAIR of 1 mm voxels and Cramér-Rao bounds, 999 outside the head."),
    Table("DICOM series that are no regular volume", dicom_series.CONDITION, {dicom_series.METRIC: "%.0f"},
          "Of 1 to 3 slices gone, those at an end of the volume cannot be seen, and change no geometry."),
    *shaded_maps.TABLES,
    *mri_checks.TABLES,
    *interpolated_maps.TABLES,
    *sodium.TABLES,
    *hfab_tables.TABLES,
    Table("Cost", COST, {"time / TV-Chambolle": "%.2f", "peak memory of the process, GB": "%.2f"}),
]  # fmt: skip

HEADLINE = Headline(
    (
        Column("simulated map, measured FLAIR: PSNR in the brain, dB", "psnr_brain_db_glioma_measured_flair",
               "glioma", "k-space, measured FLAIR", "PSNR, brain, dB", "%.1f", "↑"),
        Column("lesion of 10 mm in the map alone: bias, % of its contrast", "bias_percent_lesion_10_mm_map_only",
               "glioma", "k-space, lesions of 10 mm", "bias, map only, %", "%.0f", "→ 0"),
        Column("lesion of 10 mm in FLAIR alone: leak, % of its contrast", "leak_percent_lesion_10_mm_flair_only",
               "glioma", "k-space, lesions of 10 mm", "leak, FLAIR only, %", "%.1f"),
    ),
    {"total variation": ("TV + DC",), "FLAIR-weighted total variation": (WTV,), "this bundle, no MRI": (OURS,),
     "this bundle, FLAIR": (OURS_FLAIR,)},
    "this bundle, FLAIR",
)  # fmt: skip


def figures(rows: Sequence[dict[str, Any]], output: Path) -> None:
    """None from the rows alone: the parts draw theirs."""
