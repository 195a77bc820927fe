"""Draw the figures of the documentation.

Usage::

    python tools/figures.py patients patients.png    # 16 virtual patients: T1, FLAIR and NAA
    python tools/figures.py curves bundles/NAME/models/training curves.png    # losses of its trainings

A seed determines every figure of patients: the same command gives the same figure.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from mrsikit.io.extras import import_extra
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations
from mrsikit.phantoms.mri import Scanner, mri
from mrsikit.phantoms.subject import Grid, VirtualSubject

DPI = 100
ROWS = ("T1", "FLAIR", "NAA")
COLUMNS = 8
CELL = (200, 240)
"""Size of one image in pixels, left to right and back to front."""
PIXEL_MM = 0.92
VOXEL_PIXELS = 4
"""Side of an MRSI voxel in pixels of the MR images."""
HEALTHY_HEIGHTS = (-32.0, -8.0, 16.0, 46.0)
"""Slice positions of the patients without tumour (mm above the brain's centre)."""


def patient(seed: int, grade: str | None, height: float | None) -> tuple[list[np.ndarray], str]:
    """Make T1, FLAIR (fractions of the brightest) and NAA (mM) of one virtual patient, each (X, Y), and a caption.

    Args:
        seed: seed of the patient and of the examination.
        grade: grade of the tumour, "low" or "high"; None: no tumour.
        height: position of the slice (mm); None: through the tumour.
    """
    rng = np.random.default_rng([seed, 2])
    subject = VirtualSubject(seed, tumours=0 if grade is None else 1, grade=grade)
    if height is None:
        tumour = subject.tumours.tumours[0]
        height = float(tumour.centre[2] + 0.25 * tumour.radius)
    fine = Grid(CELL, (PIXEL_MM, PIXEL_MM), (0.0, 0.0, height), thickness=3.0, subsamples=(1, 1, 3))
    coarse = Grid(
        (CELL[0] // VOXEL_PIXELS, CELL[1] // VOXEL_PIXELS),
        (PIXEL_MM * VOXEL_PIXELS,) * 2,
        fine.centre,
        thickness=8.0,
        subsamples=(2, 2, 4),
    )
    tissues = subject.tissues(fine)
    images = [mri(tissues, fine, contrast, rng, Scanner.draw(rng)) for contrast in ("t1", "flair")]
    naa = concentration_map(subject.tissues(coarse), draw_concentrations(rng, grade or "low")["NAA"])
    caption = "no tumour" if grade is None else f"{grade} grade, {2 * subject.tumours.tumours[0].radius:.0f} mm"
    return [*(image.numpy() for image in images), naa.numpy()], f"{caption}\n{height:+.0f} mm"


def draw_patients(path: Path, *, seed: int, number: int) -> None:
    """Draw ``number`` patients to a PNG: every fourth has no tumour, the others have tumours of alternating grade.

    Slices are in radiological orientation: the patient's right is on the left, the front at the top.
    """
    bands = -(-number // COLUMNS)
    band, label, margin = 3 * CELL[1] + 42, 40, 42
    width, height = COLUMNS * CELL[0] + margin, bands * band
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="black")
    for k in tqdm(range(number), desc="patients", unit="patient"):
        healthy = k % 4 == 3
        grade = None if healthy else ("high", "low")[(k - k // 4) % 2]
        level = HEALTHY_HEIGHTS[k // 4 % len(HEALTHY_HEIGHTS)] if healthy else None
        images, caption = patient(seed + k, grade, level)
        left, top = margin + k % COLUMNS * CELL[0], k // COLUMNS * band
        for row, (name, image) in enumerate(zip(ROWS, images, strict=True)):
            lower = height - top - label - (row + 1) * CELL[1]
            axes = figure.add_axes((left / width, lower / height, CELL[0] / width, CELL[1] / height))
            axes.set_axis_off()
            limit = 12.5 if name == "NAA" else float(np.percentile(image[image > 0], 99.7))
            axes.imshow(
                image.T[::-1, ::-1],
                cmap="inferno" if name == "NAA" else "gray",
                vmin=0,
                vmax=limit,
                interpolation="nearest",
            )
            if k % COLUMNS == 0:
                middle = (lower + CELL[1] / 2) / height
                figure.text(margin / 2 / width, middle, name, color="white", rotation=90, ha="center", va="center")
        centre = (left + CELL[0] / 2) / width
        figure.text(
            centre, 1 - (top + label / 2) / height, caption, color="white", fontsize=9, ha="center", va="center"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def losses(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the losses of one training from all its runs: (step, value) by name; the last run of a step counts."""
    reader = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = import_extra(reader, package="tensorboard", purpose="curves of trainings", extra="train")
    found: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("tensorboard/events.*")):
        events = accumulator.EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for name in events.Tags()["scalars"]:
            found.setdefault(name, {}).update((event.step, event.value) for event in events.Scalars(name))
    return {name: sorted(values.items()) for name, values in found.items()}


def draw_curves(trainings: Path, path: Path) -> None:
    """Draw the training losses and the validation loss of each training to a PNG.

    Training losses are means over 100 steps, or over a twelfth of all steps if that is fewer. The axis is logarithmic
    for trainings with several losses, such as adversarial ones.
    """
    found = {folder.name: losses(folder) for folder in sorted(trainings.iterdir()) if folder.is_dir()}
    found = {name: curves for name, curves in found.items() if curves}
    figure = Figure(figsize=(4.2 * len(found), 3.2), layout="constrained")
    for axes, (name, curves) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        shown, last = [], 1
        trained = [key for key in curves if key.endswith("_loss") and key != "validation_loss"]
        for key in trained:
            steps, values = (np.array(column) for column in zip(*curves[key], strict=True))
            last = int(steps.max())
            window = min(100, max(1, last // 12))
            ends = range(window, last + 1, window)
            means = [values[(steps > end - window) & (steps <= end)].mean() for end in ends]
            axes.plot(ends, means, label=key.removesuffix("_loss"))
            shown += means
        epochs = curves.get("validation_loss", [])
        per_epoch = last / max(1, max((epoch for epoch, _ in epochs), default=1))
        axes.plot([epoch * per_epoch for epoch, _ in epochs], [value for _, value in epochs], "o-", label="validation")
        shown += [value for _, value in epochs]
        axes.set(title=name, xlabel="step", ylabel="loss")
        if len(trained) > 1:
            axes.set_yscale("log")
        else:
            low, high = np.nanpercentile(shown, (0, 97))
            axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    patients = commands.add_parser("patients", help="virtual patients of both tumour grades: T1, FLAIR, NAA")
    patients.add_argument("output", type=Path, help="PNG to write")
    patients.add_argument("--seed", type=int, default=100, help="of the first patient; the others follow it")
    patients.add_argument("--number", type=int, default=16, help="patients")
    curves = commands.add_parser("curves", help="losses of a bundle's trainings, from their TensorBoard files")
    curves.add_argument("trainings", type=Path, help="folder of training folders")
    curves.add_argument("output", type=Path, help="PNG to write")
    given = parser.parse_args(arguments)
    with torch.no_grad():
        if given.command == "curves":
            draw_curves(given.trainings, given.output)
        else:
            draw_patients(given.output, seed=given.seed, number=given.number)


if __name__ == "__main__":
    main()
