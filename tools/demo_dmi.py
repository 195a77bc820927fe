"""Demo of dmi_quantification: deuterium FIDs of a phantom with lesions, fitted with and without its MRI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mrsikit.fitting.fourier_integration import fourier_integration
from mrsikit.io import Fids, read_map, write_fids
from mrsikit.phantoms.dmi import FINER, PEAKS, SHOWN_BY, DmiPhantom, rings
from mrsikit.physics.fid_model import FidModel, noise_of_snr
from mrsikit.physics.nuclei import DEUTERIUM

SNR = 12.0
FOURIER, FIT, SMOOTH = "Fourier integration", "ours, single voxels", "ours, with the MRI"


def dmi(output: Path, *, run: Callable[..., None], quick: bool = False, **_: object) -> None:
    """Demonstrate dmi_quantification: quantify FIDs of the phantom of the PRECISE-DMI paper.

    The bundle gets the FIDs twice: as ``alone``, and as ``with`` beside an MRI in which one lesion does not show.

    Args:
        output: folder for all files.
        run: function that runs a bundle's public command: (name, inputs, outputs, options).
        quick: use a coarse phantom.
    """
    inputs, results = output / "fids", output / "results"
    inputs.mkdir(parents=True, exist_ok=True)
    phantom = rings(matrix=20 if quick else 32, rng=np.random.default_rng(0))
    larmor = 76.7
    lines = [DEUTERIUM.resonances[name] for name in PEAKS]
    model = FidModel(
        ppm=[line.ppm for line in lines], t2_star=[line.t2_star_at(DEUTERIUM.field_of(larmor)) for line in lines],
        larmor=larmor, reference=DEUTERIUM.reference, dwell=4e-4, points=512, delay=6e-4,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    fids = model.simulate(
        torch.from_numpy(phantom.amplitudes[phantom.mask]),
        noise=noise_of_snr(model, SNR, amplitude=10.0),
        generator=generator,
    )
    values = np.zeros((*phantom.mask.shape, 1, model.points), np.complex64)
    values[phantom.mask, 0] = fids.numpy()
    grid = np.diag([phantom.spacing, phantom.spacing, phantom.spacing, 1.0])
    stored = Fids(
        values=values, affine=grid, dwell=model.dwell, larmor=larmor, nucleus="2H", reference=None, delay=model.delay,
        extension={},
    )  # fmt: skip
    for stem in ("alone", "with"):
        write_fids(inputs / f"{stem}.nii.gz", stored)
    fine = grid @ np.diag([1 / FINER, 1 / FINER, 1.0, 1.0])
    fine[:2, 3] = phantom.spacing * (1 / FINER - 1) / 2
    nib.save(nib.nifti1.Nifti1Image(phantom.mri[..., None], fine), inputs / "with_mri.nii.gz")
    run("dmi_quantification", inputs, results, "--water_mM", "10")
    maps = {FOURIER: np.zeros_like(phantom.amplitudes)}
    maps[FOURIER][phantom.mask] = fourier_integration(fids, model).numpy()
    for name, stem in ((FIT, "alone"), (SMOOTH, "with")):
        found = [read_map(results / f"{stem}_{peak}_amplitude.nii.gz")[0][..., 0] for peak in PEAKS]
        maps[name] = np.stack(found, -1)
    print(f"\n{table(phantom, maps)}\n")
    print(
        "Errors are root mean squares over the phantom in mM; the true lactate of a lesion is 3 mM, around it 1 mM.\n"
    )
    errors = {name: rms(phantom, values).tolist() for name, values in maps.items()}
    (output / "table.json").write_text(json.dumps(errors, indent=2) + "\n", encoding="utf-8")
    draw(phantom, maps, output / "comparison.png")
    print(f"report:            {results / 'report.html'}")
    print(f"comparison:        {output / 'comparison.png'}")
    print(f"FIDs and outputs:  {inputs}, {results}")


def rms(phantom: DmiPhantom, values: np.ndarray) -> np.ndarray:
    """Root mean square error (K,) of each peak over the phantom (mM)."""
    return np.sqrt(((values - phantom.amplitudes)[phantom.mask] ** 2).mean(0))


def table(phantom: DmiPhantom, maps: dict[str, np.ndarray]) -> str:
    """Errors of every method and peak, and the lactate of each lesion, as text."""
    lines = [f"{'root mean square error, mM':32}" + "".join(f"{peak:>12}" for peak in PEAKS)]
    for name, values in maps.items():
        lines.append(f"{name:32}" + "".join(f"{error:12.3f}" for error in rms(phantom, values)))
    lines.append("-" * len(lines[0]))
    lines.append(
        f"{'lactate in the lesion seen by':32}" + "".join(f"{SHOWN_BY[letter]:>12}" for letter in phantom.lesions)
    )
    for name, values in {"truth": phantom.amplitudes, **maps}.items():
        means = [values[where][:, 3].mean() for where in phantom.lesions.values()]
        lines.append(f"{name:32}" + "".join(f"{mean:12.2f}" for mean in means))
    return "\n".join(lines)


def draw(phantom: DmiPhantom, maps: dict[str, np.ndarray], path: Path) -> None:
    """Draw the MRI, and the true and every method's Glx and lactate."""
    figure = Figure(figsize=(2.3 * (len(maps) + 2), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(maps) + 2)
    for row, (peak, top) in zip(axes, ((2, 4.0), (3, 3.5)), strict=True):
        row[0].imshow(phantom.mri.T, origin="lower", cmap="gray")
        shown = {"truth": phantom.amplitudes, **maps}
        for axis, (name, values) in zip(row[1:], shown.items(), strict=True):
            picture = axis.imshow(values[..., peak].T, origin="lower", cmap="inferno", vmin=0, vmax=top)
            axis.set_title(f"{PEAKS[peak]}, {name}", fontsize=9)
        figure.colorbar(picture, ax=row[-1], fraction=0.046).set_label("mM")
    axes[0, 0].set_title("MRI", fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
