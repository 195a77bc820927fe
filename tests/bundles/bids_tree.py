"""A BIDS dataset of virtual maps: two participants, one with two sessions, two metabolites, bounds, masks, one MRI."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

MAPS = ("sub-01/ses-1", "sub-01/ses-2", "sub-02")
METABOLITES = ("NAANAAG", "CrPCr")


def save(path: Path, values: np.ndarray, side: float = 8.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([side, side, 10, 1])), path)


def make_tree(root: Path) -> Path:
    """The MRIs lie in a raw dataset, the maps in a derivative of it, as a whole-brain pipeline writes them."""
    rng = np.random.default_rng(0)
    maps = root / "derivatives" / "mrsi-orig"
    inside = np.zeros((16, 16))
    inside[2:14, 2:14] = 1
    for place in MAPS:
        start = place.replace("/", "_")
        for name in METABOLITES:
            values = inside * rng.uniform(7, 8, (16, 16))
            values[5, 6:8] = np.nan
            file = maps / place / f"{start}_space-orig_met-{name}_desc-signal_mrsi.nii.gz"
            save(file, values)
            file.with_name(f"{file.name[:-7]}.json").write_text('{"Units": "mmol/L"}')
            bounds = np.full((16, 16), 5.0)
            bounds[9, 9] = 999
            save(maps / place / f"{start}_space-orig_met-{name}_desc-crlb_mrsi.nii.gz", bounds)
        save(maps / place / f"{start}_space-orig_desc-brainmask_mrsi.nii.gz", inside)
        save(maps / place / f"{start}_space-orig_desc-fwhm_mrsi.nii.gz", np.full((16, 16), 0.05))
        save(maps / place / f"{start}_space-orig_desc-snr_mrsi.nii.gz", np.full((16, 16), 9.0))
        fine = np.repeat(np.repeat(inside * rng.uniform(0.9, 1, (16, 16)), 4, 0), 4, 1)
        save(root / place / "anat" / f"{start}_T1w.nii.gz", np.repeat(fine[:, :, None], 4, 2), 2.0)
    raw = {"Name": "Virtual maps", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["mrsikit"]}
    made = {**raw, "DatasetType": "derivative", "GeneratedBy": [{"Name": "a pipeline"}]}
    (root / "dataset_description.json").write_text(json.dumps({**raw, "DatasetType": "raw"}))
    (maps / "dataset_description.json").write_text(json.dumps(made))
    (maps / ".bidsignore").write_text("*_mrsi.*\n")
    (root / "README").write_text("Two virtual participants. " * 20 + "\n")
    return root
