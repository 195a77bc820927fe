"""Make a reader study of both super-resolution bundles on virtual patients, the example that their model cards link.

Usage::

    python tools/demo_reader_study.py --output demo_output/reader_study --page study.html

It uses choline maps of four patients with gliomas and a lesion that the FLAIR does not show. The maps are reduced in
k-space and get noise. The bundles' public commands and two classical methods raise their resolution. No reader has
scored the study.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from demo import run_bundle
from demo_super_resolution import FACTOR, NOISE, SEED, by_kspace, patient
from mrsikit.super_resolution.preprocessing import subdivided
from reader_studies.pages import make

PATIENTS = 4
SUPER_RESOLVED = "{case}_sr.nii.gz"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the maps and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo_output") / "reader_study", help="folder of the maps")
    parser.add_argument("--page", type=Path, help="HTML file (default: study.html in the folder)")
    parser.add_argument("--patients", type=int, default=PATIENTS)
    options = parser.parse_args(arguments)
    output: Path = options.output.absolute()
    maps = output / "maps"
    level = 0.0
    for place in range(options.patients):
        truth, flair, _, grid = patient(SEED + place)
        level = level or NOISE * float(truth.max())  # the same noise for all patients, as of one scanner
        coarse, classical = by_kspace(truth, flair, level, SEED + place)
        affine = grid.affine()
        wide = affine @ torch.linalg.inv(subdivided(FACTOR)).numpy()
        name = f"patient_{place + 1}"
        for folder, values in {"truth": truth, **classical}.items():
            _save(output / folder / f"{name}.nii.gz", values, affine)
        for folder in ("alone", "guided"):
            _save(maps / folder / f"{name}.nii.gz", coarse.numpy(), wide)
        _save(maps / "guided" / f"{name}_flair.nii.gz", flair[..., None], affine)
    given = ("--noise", f"{level:.4f}", "--unit", "mM", "--psf", "kspace")
    for folder in ("alone", "guided"):
        run_bundle("mrsi_super_resolution", maps / folder, output / folder, *given)
    for method in ("1", "2", "3"):
        run_bundle(
            "mrsi_gan_super_resolution", maps / "guided", output / f"method_{method}", "--method", method, *given
        )
    methods = {
        **{name: str(output / name) for name in ("bicubic", "FLAIR-weighted TV")},
        "mrsi_super_resolution, no MRI": str(output / "alone" / SUPER_RESOLVED),
        "mrsi_super_resolution, FLAIR": str(output / "guided" / SUPER_RESOLVED),
        **{f"DLmethod_{k}": str(output / f"method_{k}" / SUPER_RESOLVED) for k in (1, 2, 3)},
    }  # fmt: skip
    make(str(output / "truth"), methods, options.page or output / "study.html", title="Choline maps, virtual patients")


def _save(path: Path, values: np.ndarray, affine: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.nifti1.Nifti1Image(np.asarray(values, np.float32), np.asarray(affine)), path)


if __name__ == "__main__":
    main()
