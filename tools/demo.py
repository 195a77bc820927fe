"""Run every bundle on virtual patients; it needs no data, no internet connection and no GPU.

Usage::

    python tools/demo.py                        # everything, into ./demo_output
    python tools/demo.py --quick                # one small case a bundle
    python tools/demo.py --output somewhere --weights my_model.pt --picture example.png

The patients have fixed seeds on which no network was trained. The demo degrades their maps, writes them as NIfTI and
runs the bundle's public command on them, as a user would. It compares the results with those of classical methods.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from demo_dmi import dmi
from demo_index import write_index
from demo_super_resolution import super_resolution, three_methods
from demo_synthesis import synthesis
from mrsikit.io import InputError, read_map
from mrsikit.io.extras import import_extra
from mrsikit.metrics.missing_voxels import missing_voxel_detection
from mrsikit.phantoms.metabolites import concentration_map, draw_concentrations, weighted_map
from mrsikit.phantoms.subject import Grid, VirtualSubject
from mrsikit.phantoms.voxel_loss import mixed
from mrsikit.restoration.brain_mask import zero_rule
from mrsikit.restoration.inpainting import FILLS
from mrsikit.runtime.bundles import bundle_root, run_inference

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Virtual patient whose map the demo makes and degrades.

    Attributes:
        name: stem of the file name.
        seed: seed of the patient and of the missing voxels. No training uses it: training seeds begin at 20251121 and
            21251121. Slices go through the centre of the tumour; its height was the only criterion for the seeds.
        metabolite: "NAA", "tCr" or "tCho" (mM), or "weighted", the map by tissue weights of Pham 2025 (maximum 1).
        grade: grade of the tumour, "low" or "high".
        patterns: patterns of the missing voxels, see :data:`mrsikit.phantoms.voxel_loss.PATTERNS`.
        lost: share of the voxels with signal that are missing.
        noise: standard deviation of the noise, relative to the mean of the map.
        brain_mask: whether the user gives a brain mask.
        matrix: number of voxels along each axis.
        spacing: voxel size (mm).
    """

    name: str
    seed: int
    metabolite: str
    grade: str
    patterns: tuple[str, ...]
    lost: float = 0.2
    noise: float = 0.0
    brain_mask: bool = False
    matrix: tuple[int, ...] = (64, 64)
    spacing: float = 3.4


ALL_PATTERNS = ("clusters", "rim", "slab", "singles")
PATIENTS = (
    Patient(
        name="tCho_high_grade",
        seed=7_000_013,
        metabolite="tCho",
        grade="high",
        patterns=("clusters", "singles"),
        noise=0.05,
    ),
    Patient(
        name="NAA_low_grade", seed=7_000_014, metabolite="NAA", grade="low", patterns=("clusters", "singles"), noise=0.1
    ),
    Patient(
        name="tCr_high_grade", seed=7_000_005, metabolite="tCr", grade="high", patterns=ALL_PATTERNS, brain_mask=True
    ),
    Patient(
        name="NAA_lost_rim",
        seed=7_000_012,
        metabolite="NAA",
        grade="high",
        patterns=("rim",),
        noise=0.05,
        brain_mask=True,
    ),
    Patient(
        name="weighted_low_grade",
        seed=7_000_016,
        metabolite="weighted",
        grade="low",
        patterns=("clusters", "slab"),
        brain_mask=True,
    ),
    Patient(
        name="NAA_volume",
        seed=7_000_009,
        metabolite="NAA",
        grade="high",
        patterns=ALL_PATTERNS,
        lost=0.15,
        noise=0.05,
        brain_mask=True,
        matrix=(40, 44, 32),
        spacing=5.0,
    ),
)
IN_PICTURE = "tCr_high_grade"

MASK_FREE, MASK_GIVEN = "ours, mask-free", "ours, mask given"


@dataclass
class Case:
    """Degraded map with its truth and its results; all arrays have the shape of the map."""

    patient: Patient
    truth: np.ndarray
    spoilt: np.ndarray
    missing: np.ndarray
    brain: np.ndarray
    affine: np.ndarray
    fills: dict[str, np.ndarray] = field(default_factory=dict)
    found: np.ndarray | None = None
    uncertainty: np.ndarray | None = None

    def missing_voxel_mse(self, method: str) -> float:
        """Mean squared error over the missing voxels, with the maximum of the truth scaled to 1."""
        error = (self.fills[method] - self.truth)[self.missing] / self.truth.max()
        return float((error**2).mean())


def make_case(patient: Patient) -> Case:
    """Make one patient's map, complete and with noise and missing voxels."""
    rng = np.random.default_rng([patient.seed, 1])
    subject = VirtualSubject(patient.seed, tumours=1, grade=patient.grade, tumour_radius=16.0)
    height = float(subject.tumours.tumours[0].centre[2]) if len(patient.matrix) == 2 else 5.0
    spacing = (patient.spacing,) * len(patient.matrix)
    grid = Grid(patient.matrix, spacing, (0.0, 0.0, height), thickness=8.0, subsamples=(2, 2, 2))
    tissues = subject.tissues(grid)
    if patient.metabolite == "weighted":
        truth = weighted_map(tissues, 0.3).numpy()
    else:
        truth = concentration_map(tissues, draw_concentrations(rng, patient.grade)[patient.metabolite]).numpy()
    signal = truth > 0
    spread = patient.noise * float(truth[signal].mean())
    measured = truth + spread * rng.standard_normal(truth.shape).astype(np.float32) * signal
    missing = mixed(signal, patient.lost, rng, patterns=patient.patterns)
    spoilt = np.where(missing, 0, np.maximum(measured, 0)).astype(np.float32)
    return Case(patient, truth, spoilt, missing, tissues.brain.numpy() > 0.5, grid.affine())


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write one NIfTI file with coordinates in mm."""
    image = nib.nifti1.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def run_bundle(name: str, inputs: Path | None, outputs: Path, *options: str) -> None:
    """Print a bundle's public command and run what it runs; ``inputs`` is None if it needs none.

    It runs in this process, because each start of the command would import MONAI again, which takes seconds.

    Raises:
        SystemExit: the command fails.
    """
    root = bundle_root(name)
    given = ["--dataset_dir", str(inputs)] if inputs is not None else []
    given += ["--output_dir", str(outputs), "--overwrite", "true", *options]
    config = ["--config_file", str(root / "configs" / "inference.json"), "--bundle_root", str(root)]
    print("\n$", shlex.join(["python", "-m", "monai.bundle", "run", *config, *given]), "\n", flush=True)
    run_inference(name, given)


def fill_classically(case: Case) -> None:
    """Add the classical fills; each uses the brain mask if there is one and if it lowers the error."""
    masks = {"true mask": case.missing, "zero rule": zero_rule(case.spoilt)}
    for name, rule in (
        ("biharmonic", "true mask"),
        ("biharmonic", "zero rule"),
        ("dct", "true mask"),
        ("gaussian", "true mask"),
        ("linear", "true mask"),
    ):
        method = f"{name}, {rule}"
        brains = (None, case.brain) if case.patient.brain_mask and rule == "true mask" else (None,)
        tried = []
        for brain in brains:
            case.fills[method] = FILLS[name](case.spoilt, masks[rule], brain=brain)
            tried.append((case.missing_voxel_mse(method), case.fills[method]))
        case.fills[method] = min(tried, key=lambda pair: pair[0])[1]


def table(cases: Sequence[Case]) -> str:
    """Errors over missing voxels of every method and case, and how well these voxels were detected, as text."""
    names = [case.patient.name for case in cases]
    lines = [f"{'mean squared error, missing voxels x 1000':40}" + "".join(f"{name:>20}" for name in names)]
    methods = list(cases[0].fills)
    for method in methods:
        errors = [1000 * case.missing_voxel_mse(method) for case in cases]
        lines.append(f"{method:40}" + "".join(f"{error:20.3f}" for error in errors))
    lines.append("-" * len(lines[0]))
    for method in (MASK_FREE, MASK_GIVEN):
        ratios = [case.missing_voxel_mse(method) / case.missing_voxel_mse("biharmonic, true mask") for case in cases]
        lines.append(f"{method + ' / biharmonic, true mask':40}" + "".join(f"{ratio:20.2f}" for ratio in ratios))
    detections = [missing_voxel_detection(case.found, case.missing) for case in cases if case.found is not None]
    for name in ("recall", "precision"):
        values = [getattr(detection, name) for detection in detections]
        lines.append(f"{f'holes found, mask-free: {name}':40}" + "".join(f"{value:20.2f}" for value in values))
    return "\n".join(lines)


def draw(cases: Sequence[Case], path: Path) -> None:
    """Draw truth, degraded map, fills, errors and uncertainty, one row per case.

    Of a volume, it shows the slice with the most missing voxels. The orientation is radiological.
    """
    titles = ["truth", "as measured", "biharmonic,\ntrue mask", "ours,\nmask-free"]
    titles += ["error of\nbiharmonic", "error of\nours", "stated\nuncertainty"]
    figure = Figure(figsize=(2.1 * len(titles), 2.1 * len(cases) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(cases), len(titles), squeeze=False)
    for row, case in zip(axes, cases, strict=True):
        assert case.uncertainty is not None
        classical, ours = case.fills["biharmonic, true mask"], case.fills[MASK_FREE]
        shown = [case.truth, case.spoilt, classical, ours]
        shown += [np.abs(fill - case.truth) * case.missing for fill in (classical, ours)] + [case.uncertainty]
        if case.missing.ndim == 3:
            level = int(case.missing.sum((0, 1)).argmax())
            shown = [array[:, :, level] for array in shown]
        peak = float(np.percentile(shown[0][shown[0] > 0], 99.5))
        for k, (axis, image) in enumerate(zip(row, shown, strict=True)):
            high = peak if k < 4 else peak / 3
            colours = "inferno" if k < 4 else "viridis"
            picture = axis.imshow(np.fliplr(image.T[::-1]), vmin=0, vmax=high, cmap=colours, interpolation="nearest")
            axis.text(0.02, 0.5, "R", color="white", fontsize=8, va="center", transform=axis.transAxes)
            axis.set_xticks([])
            axis.set_yticks([])
            if axis in axes[0]:
                axis.set_title(titles[k], fontsize=10)
            if k in (3, 6):
                figure.colorbar(picture, ax=axis, fraction=0.046).ax.tick_params(labelsize=7)
        row[0].set_ylabel(case.patient.name.replace("_", " "), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def inpainting(output: Path, *, quick: bool = False, weights: Path | None = None, picture: Path | None = None) -> None:
    """Demonstrate mrsi_inpainting: fill missing voxels.

    The bundle gets every map twice: alone (some with a brain mask), and as ``<name>_known`` with the mask of the
    missing voxels.

    Args:
        output: folder for all files.
        quick: make one case only.
        weights: weights file to use instead of the bundle's.
        picture: file for the picture of the README.

    Raises:
        SystemExit: there are no weights, or the bundle's command fails.
    """
    shipped = REPOSITORY / "bundles" / "mrsi_inpainting" / "models" / "model.pt"
    weights = weights or shipped
    if not weights.is_file():
        raise SystemExit(f"{weights}: no weights here; give --weights, or train as the model card says")
    maps, results = output / "maps", output / "results"
    maps.mkdir(parents=True, exist_ok=True)
    for old in maps.glob("*.nii.gz"):
        old.unlink()  # maps of an earlier demo with other patients
    patients = [replace(PATIENTS[0], matrix=(48, 48), spacing=4.5)] if quick else PATIENTS
    cases = [make_case(patient) for patient in tqdm(patients, desc="making patients", unit="patient")]
    for case in cases:
        for name in (case.patient.name, f"{case.patient.name}_known"):
            save(maps / f"{name}.nii.gz", case.spoilt, case.affine)
            if case.patient.brain_mask:
                save(maps / f"{name}_brain.nii.gz", case.brain.astype(np.uint8), case.affine)
        save(maps / f"{case.patient.name}_known_missing.nii.gz", case.missing.astype(np.uint8), case.affine)
    own = [] if weights == shipped else ["--weights", str(weights)]
    run_bundle("mrsi_inpainting", maps, results, "--unit", "mM, or relative", *own)
    for case in tqdm(cases, desc="classical methods", unit="patient"):
        name = case.patient.name
        case.fills[MASK_FREE] = read_map(results / f"{name}_inpainted.nii.gz")[0]
        case.fills[MASK_GIVEN] = read_map(results / f"{name}_known_inpainted.nii.gz")[0]
        case.found = read_map(results / f"{name}_holes.nii.gz")[0] > 0
        case.uncertainty = read_map(results / f"{name}_uncertainty.nii.gz")[0]
        fill_classically(case)
    print(f"\n{table(cases)}\n")
    print("Errors are of maps scaled to a maximum of 1; a classical fill has the brain mask where that helps it.")
    print("These few patients only show how it works; the model card measures.\n")
    errors = {case.patient.name: {method: case.missing_voxel_mse(method) for method in case.fills} for case in cases}
    (output / "table.json").write_text(json.dumps(errors, indent=2) + "\n", encoding="utf-8")
    draw(cases, output / "comparison.png")
    if picture is not None:
        draw([c for c in cases if c.patient.name == IN_PICTURE] or cases, picture)
        print(f"picture:           {picture}")
    print(f"report:            {results / 'report.html'}")
    print(f"comparison:        {output / 'comparison.png'}")
    print(f"maps and outputs:  {maps}, {results}")


DEMOS: dict[str, Callable[..., None]] = {
    "mrsi_inpainting": inpainting,
    "mrsi_super_resolution": partial(super_resolution, run=run_bundle),
    "mrsi_gan_super_resolution": partial(three_methods, run=run_bundle),
    "dmi_quantification": partial(dmi, run=run_bundle),
    "mrs_vae_synthesis": partial(synthesis, run=run_bundle),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo of every bundle."""
    parser = argparse.ArgumentParser(description="Show every bundle at work on virtual patients.")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for all that is made")
    parser.add_argument("--quick", action="store_true", help="one small case a bundle")
    parser.add_argument("--weights", type=Path, help="weights of mrsi_inpainting to use instead of the shipped ones")
    parser.add_argument("--picture", type=Path, help="also write the one picture of the README here")
    options = parser.parse_args(arguments)
    try:
        import_extra("nilearn", package="nilearn", purpose="virtual subjects", extra="demo")
    except InputError as error:
        raise SystemExit(str(error)) from error
    output, seconds = options.output.absolute(), {}
    for name, demo in DEMOS.items():
        print(f"\n=== {name}")
        begin = time.perf_counter()
        demo(
            output / name,
            quick=options.quick,
            weights=options.weights.absolute() if options.weights else None,
            picture=options.picture,
        )
        seconds[name] = time.perf_counter() - begin
        index = write_index(output, seconds)  # after each, so that the first result is there to look at
        print(f"all so far:        {index}, {sum(seconds.values()):.0f} s")


if __name__ == "__main__":
    main()
