import nibabel as nib
import numpy as np
import pytest
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Lambda, LoadImaged, SaveImaged
from torch import nn

from mrsikit.io import output_name
from mrsikit.runtime import InputFolder, RunOptions, check_inputs
from mrsikit.runtime.report import RunReport

OUTPUTS = ("inpainted", "holes")


def fill(item):
    """Stand in for a bundle: every zero is a hole and becomes 5."""
    image = item["image"]
    holes = (image == 0) | ~image.isfinite()
    item["holes"] = MetaTensor(holes.as_tensor().float(), meta=image.meta)
    item["inpainted"] = MetaTensor(image.as_tensor().where(~holes.as_tensor(), 5 + 0 * image), meta=image.meta)
    item["summary"] = {"holes": int(holes.sum()), "mean": float(image.nanmean()), "nothing": float("nan")}
    item["flags"] = ["matrix below the trained 16"] if min(image.shape[1:3]) < 16 else []
    return item


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes the inputs and the evaluator of a toy bundle over tmp_path / "maps"."""

    def make(break_at="", **options):
        inputs = InputFolder(
            dataset_dir=tmp_path / "maps",
            output_dir=tmp_path / "out",
            companions={"missing": "missing"},
            outputs=OUTPUTS,
            **options,
        )

        folders = {"dataset_dir": tmp_path / "maps", "output_dir": tmp_path / "out"}
        check_inputs(inputs, RunOptions.model_construct(**folders, device="cpu"))

        def maybe_break(item):
            if break_at and break_at in item["image"].meta["filename_or_obj"]:
                raise RuntimeError("killed")
            return item

        load = LoadImaged(
            keys=["image", "missing"],
            reader="mrsikit.io.MapReader",
            ensure_channel_first=True,
            allow_missing_keys=True,
        )
        saves = [
            SaveImaged(
                keys=name,
                output_dir=tmp_path / "out",
                output_postfix=name,
                separate_folder=False,
                output_dtype=dtype,
                resample=False,
                print_log=False,
                writer="mrsikit.io.AtomicNibabelWriter",
                output_name_formatter=output_name,
            )
            for name, dtype in (("inpainted", np.float32), ("holes", np.uint8))
        ]
        evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=DataLoader(Dataset(inputs.datalist(), load), batch_size=1),
            network=nn.Identity(),
            postprocessing=Compose([Lambda(fill), saves[0], Lambda(maybe_break), saves[1]]),
            val_handlers=[
                RunReport(inputs=inputs, bundle_name="toy", bundle_version="0.1", parameters={"max_crlb": 20})
            ],
        )
        return inputs, evaluator

    (tmp_path / "maps").mkdir()
    rng = np.random.default_rng(0)
    for name, shape in (("a", (16, 18)), ("b", (8, 9, 4)), ("c <&>", (16, 16, 3, 2))):
        data = rng.random(shape).astype(np.float32) + 1
        data[3:5, 4:6] = 0
        data.flat[0] = np.nan
        nib.save(nib.Nifti1Image(data, np.diag([3, 3, 5, 1])), tmp_path / "maps" / f"{name}.nii.gz")
    missing = np.zeros((8, 9, 4), np.uint8)
    missing[3:5, 4:6] = 1
    nib.save(nib.Nifti1Image(missing, np.diag([3, 3, 5, 1])), tmp_path / "maps" / "b_missing.nii.gz")
    return make
