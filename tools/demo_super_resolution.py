"""Demos of both super-resolution bundles: coarse, noisy maps of a virtual patient, with and without the FLAIR."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from mrsikit.io import read_map
from mrsikit.metrics.image_quality import psnr
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import mri
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.physics.spatial_encoding import SpatialEncoding, cubic
from mrsikit.restoration.total_variation import total_variation
from mrsikit.super_resolution.preprocessing import subdivided

SEED = 7_000_013
FACTOR, NOISE = 4, 0.01
LESION = (-28.0, -22.0, 7.0)
"""x, y and radius (mm) of a lesion that no MRI shows."""

SPLINE, ALONE, GUIDED = "spline", "ours, no MRI", "ours, with the FLAIR"


def super_resolution(output: Path, *, run: Callable[..., None], **_: object) -> None:
    """Demonstrate mrsi_super_resolution: choline of a patient with a glioma and a lesion that the FLAIR does not show.

    The bundle gets the coarse map twice: as ``alone``, and as ``guided`` together with the FLAIR.

    Args:
        output: folder for all files.
        run: function that runs a bundle's public command: (name, inputs, outputs, options).
    """
    inputs, results = output / "maps", output / "results"
    inputs.mkdir(parents=True, exist_ok=True)
    truth, flair, lesion, grid = patient()
    coarse = SpatialEncoding("block", FACTOR).A(torch.from_numpy(truth)).numpy()
    coarse = coarse + NOISE * truth.max() * np.random.default_rng(SEED).standard_normal(coarse.shape) * (coarse > 0)
    affine = grid.affine() @ torch.linalg.inv(subdivided(FACTOR)).numpy()
    for stem in ("alone", "guided"):
        nib.save(nib.nifti1.Nifti1Image(coarse.astype(np.float32), affine), inputs / f"{stem}.nii.gz")
    nib.save(nib.nifti1.Nifti1Image(flair[..., None], grid.affine()), inputs / "guided_flair.nii.gz")
    run("mrsi_super_resolution", inputs, results, "--noise", f"{NOISE * truth.max():.4f}", "--unit", "mM")
    maps = {SPLINE: ndimage.zoom(coarse, FACTOR, order=3, mode="nearest", grid_mode=True)}
    maps |= {name: read_map(results / f"{stem}_sr.nii.gz")[0] for name, stem in ((ALONE, "alone"), (GUIDED, "guided"))}
    rows = {name: quality(values, truth, lesion) for name, values in maps.items()}
    print(f"\n{'':24}{'PSNR, dB':>10}{'lesion, mM':>12}")
    for name, (decibel, level) in rows.items():
        print(f"{name:24}{decibel:10.2f}{level:12.2f}")
    print(f"{'truth':24}{'':10}{truth[lesion].mean():12.2f}\n")
    print("The lesion is one that the FLAIR does not show.\n")
    (output / "table.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    draw(flair, coarse, maps, truth, output / "comparison.png")
    print(f"report:            {results / 'report.html'}")
    print(f"comparison:        {output / 'comparison.png'}")
    print(f"maps and outputs:  {inputs}, {results}")


def three_methods(output: Path, *, run: Callable[..., None], **_: object) -> None:
    """Demonstrate mrsi_gan_super_resolution: the same patient with a second lesion that only the FLAIR shows.

    The map is reduced to the centre of its k-space.

    Args:
        output: folder for all files.
        run: function that runs a bundle's public command: (name, inputs, outputs, options).
    """
    inputs = output / "maps"
    inputs.mkdir(parents=True, exist_ok=True)
    truth, flair, lesion, grid = patient()
    invented = lesion[::-1]
    shown = np.where(invented, flair + 0.5 * flair.max(), flair)
    level = NOISE * truth.max()
    coarse, maps = by_kspace(truth, shown, level, SEED)
    affine = grid.affine() @ torch.linalg.inv(subdivided(FACTOR)).numpy()
    nib.save(nib.nifti1.Nifti1Image(coarse.numpy(), affine), inputs / "tCho.nii.gz")
    nib.save(nib.nifti1.Nifti1Image(shown[..., None].astype(np.float32), grid.affine()), inputs / "tCho_flair.nii.gz")
    for method in (1, 2, 3):
        results = output / f"method_{method}"
        options = ("--noise", f"{level:.4f}", "--method", str(method), "--unit", "mM")
        run("mrsi_gan_super_resolution", inputs, results, *options)
        maps[f"DLmethod_{method}"] = read_map(results / "tCho_sr.nii.gz")[0]
    alone = maps["DLmethod_1"][invented].mean()
    rows = {name: (*quality(v, truth, lesion), round(float(v[invented].mean() - alone), 3)) for name, v in maps.items()}
    print(f"\n{'':24}{'PSNR, dB':>10}{'lesion, mM':>12}{'invented, mM':>14}")
    for name, (decibel, kept, drawn) in rows.items():
        print(f"{name:24}{decibel:10.2f}{kept:12.2f}{drawn:14.2f}")
    print(f"{'truth':24}{'':10}{truth[lesion].mean():12.2f}{truth[invented].mean() - alone:14.2f}\n")
    print(
        "One lesion is in the map alone, another in the FLAIR alone: what the latter adds to DLmethod_1 is invented.\n"
    )
    (output / "table.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    draw(shown, coarse.numpy(), maps, truth, output / "comparison.png")
    print(f"report:            {output / 'method_2' / 'report.html'}")
    print(f"comparison:        {output / 'comparison.png'}")
    print(f"maps and outputs:  {inputs}, {output}")


def patient(seed: int = SEED) -> tuple[np.ndarray, np.ndarray, np.ndarray, Grid]:
    """Make choline map (mM), FLAIR and lesion mask, (128, 128) each, of a virtual patient, and their grid."""
    subject = VirtualSubject(seed, tumours=1, grade="high", tumour_radius=16.0)
    height = float(subject.tumours.tumours[0].centre[2])
    grid = Grid((128, 128), (1.72, 1.72), (0.0, 0.0, height), thickness=8.0, subsamples=(2, 2, 2))
    tissues, rng = subject.tissues(grid), np.random.default_rng(seed)
    choline = concentration_map(tissues, draw_concentrations(rng, "high")["tCho"]).numpy()
    flair = mri(tissues, grid, "flair", rng).numpy()
    x, y = ((np.arange(128) - 63.5) * 1.72 for _ in range(2))
    lesion = np.hypot(x[:, None] - LESION[0], y[None] - LESION[1]) < LESION[2]
    return np.where(lesion, 1.8 * choline, choline).astype(np.float32), flair.astype(np.float32), lesion, grid


def by_kspace(
    truth: np.ndarray, flair: np.ndarray, level: float, seed: int
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Reduce a map to the centre of its k-space and add noise; super-resolve it by classical methods.

    Args:
        truth: (X, Y) map (mM).
        flair: (X, Y) FLAIR.
        level: standard deviation of the noise (mM).
        seed: seed of the noise.

    Returns:
        The coarse map (mM), and the results of the classical methods by name.
    """
    encoding = SpatialEncoding("kspace", FACTOR)
    coarse = encoding.A(torch.from_numpy(truth))
    coarse = coarse + level * torch.from_numpy(np.random.default_rng(seed).standard_normal(coarse.shape)).float()
    scaled, guide = coarse[None] / truth.max(), torch.from_numpy(flair / np.percentile(flair, 99)).float()[None]
    weighted = total_variation(scaled, encoding, strength=2 * NOISE, mri=guide, eta=0.1)[0] * truth.max()
    return coarse, {"bicubic": cubic(coarse, FACTOR).numpy(), "FLAIR-weighted TV": weighted.numpy()}


def quality(values: np.ndarray, truth: np.ndarray, lesion: np.ndarray) -> tuple[float, float]:
    """PSNR (dB) of a map, and its mean over the lesion (mM)."""
    images = (torch.from_numpy(np.asarray(v / truth.max(), np.float32))[None, None] for v in (values, truth))
    return round(float(psnr(*images, data_range=1)), 3), round(float(values[lesion].mean()), 3)


def draw(flair: np.ndarray, coarse: np.ndarray, maps: dict[str, np.ndarray], truth: np.ndarray, path: Path) -> None:
    """Draw the FLAIR, the coarse map, the result of every method, and the truth, in radiological orientation."""
    shown = {"FLAIR": flair, "as measured": coarse, **maps, "truth": truth}
    figure = Figure(figsize=(2.6 * len(shown), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    top = float(np.percentile(truth, 99.8))
    for axis, (name, values) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        high, colours = (float(flair.max()), "gray") if name == "FLAIR" else (top, "inferno")
        picture = axis.imshow(np.fliplr(values.T), origin="lower", cmap=colours, vmin=0, vmax=high)
        axis.text(0.02, 0.5, "R", color="white", fontsize=9, va="center", transform=axis.transAxes)
        axis.set_title(name, fontsize=9)
        axis.set(xticks=[], yticks=[])
    figure.colorbar(picture, ax=axis, fraction=0.046).set_label("tCho, mM")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
