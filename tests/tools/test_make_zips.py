import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

import make_zips
from check_bundles import write_example_input
from toy_bundle import write_toy_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
READY = sorted(p.parent.parent.name for p in (REPOSITORY / "bundles").glob("*/models/model.pt"))


def test_zip_holds_the_bundle_and_nothing_that_a_training_left(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path)
    for name in ("models/training/last.pt", "toy_gain/__pycache__/network.pyc", "docs/.hidden", "eval/map.nii.gz"):
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_bytes(b"left")
    packed = make_zips.make_zip(bundle, tmp_path / "dist")
    assert packed.name == "toy_gain_v0.1.0.zip"
    assert sorted(zipfile.ZipFile(packed).namelist()) == [
        f"toy_gain/{name}"
        for name in (
            "LICENSE",
            "configs/evaluate.json",
            "configs/inference.json",
            "configs/logging.conf",
            "configs/metadata.json",
            "configs/multi_gpu_train.json",
            "configs/train.json",
            "docs/README.md",
            "docs/data_license.txt",
            "models/model.pt",
            "toy_gain/__init__.py",
            "toy_gain/network.py",
        )
    ]
    assert [p.name for p in (tmp_path / "dist").iterdir()] == [packed.name]


def test_same_files_give_the_same_bytes_whatever_their_dates_and_modes(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path)
    first = make_zips.make_zip(bundle, tmp_path / "first").read_bytes()
    for path in bundle.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (bundle / "LICENSE").chmod(0o600)
    assert make_zips.make_zip(bundle, tmp_path / "second").read_bytes() == first
    (bundle / "LICENSE").write_text("other")
    assert make_zips.make_zip(bundle, tmp_path / "third").read_bytes() != first


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zips.make_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_shared_and_every_bundles_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if not name.startswith("mrsikit-")}
    assert packages == {"mrsikit"} | {p.name for p in (REPOSITORY / "bundles").iterdir() if p.is_dir()}
    for package in packages:
        assert f"{package}/__init__.py" in names


def test_the_wheel_alone_runs_a_task(python: Path, tmp_path: Path) -> None:
    """No checkout, no zip: the command finds configs and weights in the installed package."""
    maps = write_example_input(tmp_path / "maps", REPOSITORY / "bundles" / "mrsi_inpainting")
    for options, code in ((["--report=false", "--threshold", "0.9"], 0), (["--thresold", "0.9"], 1)):
        done = plainly([str(python), "-m", "mrsikit", "fill", str(maps), str(tmp_path / "out"), *options], Path("/"))
        assert done.returncode == code, done.stdout + done.stderr
    assert "did you mean --threshold" in done.stdout
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "out" / "example.json").read_text())
    assert record["parameters"]["threshold"] == 0.9
    shipped = json.loads((REPOSITORY / "bundles/mrsi_inpainting/configs/metadata.json").read_text())["weights_sha256"]
    assert record["weights"] == {"model.pt": shipped["model.pt"]}
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".gz") == [
        "example.json",
        "summary.csv",
    ]


NEED_NO_DATA = ("mrs_vae_synthesis",)


def plainly(command: list[str], working_directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=working_directory, env=environment, capture_output=True, text=True)


def run_bundle(python: Path, bundle: Path, working_directory: Path, output: Path) -> None:
    command = [str(python), "-m", "monai.bundle", "run", "--config_file"]
    if working_directory == bundle:
        command += ["configs/inference.json"]
    else:
        command += [str(bundle / "configs" / "inference.json"), "--bundle_root", str(bundle)]
    if bundle.name not in NEED_NO_DATA:
        command += ["--dataset_dir", str(write_example_input(output.parent / "maps", bundle))]
    command += ["--output_dir", str(output)]
    result = plainly(command, working_directory)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module", params=["borrowed", pytest.param("empty", marks=pytest.mark.slow)])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with nothing but the wheel and what it requires.

    "empty" installs all of that, which takes minutes and a package index. "borrowed" installs the wheel alone and looks
    into this environment's folders for what it requires: .pth files there, as of an editable install, have no effect.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    pip = [sys.executable, "-m", "pip"]
    if request.param == "borrowed":
        alone = ["--no-deps", "--no-index", "--target", str(site)]
        subprocess.run([*pip, "install", "-q", *alone, str(wheel)], check=True)
        (site / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    else:
        subprocess.run([*pip, "--python", str(python), "install", "-q", str(wheel)], check=True)
    where = "import mrsikit; print(mrsikit.__file__)"
    imported = subprocess.run([python, "-c", where], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert imported.startswith(str(folder)), "the checkout is seen, not the wheel"
    return python


def unpack(bundle: Path, folder: Path) -> Path:
    zipfile.ZipFile(make_zips.make_zip(bundle, folder / "dist")).extractall(folder / "unpacked")
    return folder / "unpacked" / bundle.name


@pytest.mark.parametrize("from_root", [True, False])
def test_zip_of_the_toy_bundle_runs(python: Path, tmp_path: Path, from_root: bool) -> None:
    bundle = unpack(write_toy_bundle(tmp_path / "source", gain=3.0), tmp_path)
    run_bundle(python, bundle, bundle if from_root else Path("/"), tmp_path / "out")
    before, after = (
        np.squeeze(nibabel.load(path).get_fdata())
        for path in (tmp_path / "maps/example.nii.gz", tmp_path / "out/example_gained.nii.gz")
    )
    assert np.allclose(after, 3 * before)


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("from_root", [True, False])
def test_zip_of_each_bundle_runs(python: Path, name: str, tmp_path: Path, from_root: bool) -> None:
    bundle = unpack(REPOSITORY / "bundles" / name, tmp_path)
    run_bundle(python, bundle, bundle if from_root else Path("/"), tmp_path / "out")
    assert list((tmp_path / "out").rglob("session_*.nii.gz" if name in NEED_NO_DATA else "example_*.nii.gz"))
