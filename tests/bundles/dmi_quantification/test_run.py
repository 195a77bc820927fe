import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from command_lines import on_one_core, run_line
from dmi_quantification import predict
from dmi_quantification.options import output_names
from mrsikit.io import read_fids, write_fids
from mrsikit.phantoms.dmi import DmiPhantom
from mrsikit.physics.fid_model import noise_of_snr

from .conftest import BUNDLE, METABOLITES, MODEL, fids_of, simulated

Command = Callable[..., subprocess.CompletedProcess]
VOXEL = Path(__file__).parents[3] / "../shared/data/dmi_2h_3t_voxel/a_voxel_2HMRSI.txt"


def values(folder: Path, name: str) -> np.ndarray:
    return nib.load(folder / f"{name}.nii.gz").get_fdata()


def test_every_output_is_there_on_the_grid_of_the_fids(folder: Path, finished: Path) -> None:
    for stem, shape in (("rings", (32, 32, 1)), ("voxel", (1, 1, 1)), ("series", (2, 2, 1, 3))):
        for name in output_names(METABOLITES):
            image = nib.load(finished / f"{stem}_{name}.nii.gz")
            assert image.shape == shape
            np.testing.assert_allclose(image.affine, read_fids(folder / f"{stem}.nii.gz").affine)
        record = json.loads((finished / f"{stem}.json").read_text())
        assert record["parameters"]["water_mM"] == 10
        assert "quality" in {path.name.split("_")[-1].split(".")[0] for path in finished.glob(f"{stem}_*")}
    assert (finished / "rings_Lac_bias.nii.gz").exists()
    assert not (finished / "voxel_Lac_bias.nii.gz").exists()
    rows = (finished / "summary.csv").read_text().splitlines()
    assert len(rows) == 5
    assert any("bad.nii.gz,bad,skipped" in row and "give 2H" in row for row in rows)


def test_concentrations_are_right_within_their_deviations(finished: Path, phantom: DmiPhantom) -> None:
    for k, name in enumerate(METABOLITES[1:], start=1):
        assert values(finished, f"voxel_{name}").item() == pytest.approx((10.0, 2, 3, 1)[k], abs=0.5)
        spread = values(finished, f"rings_{name}_sd")[..., 0]
        inside = phantom.interior(1) | phantom.interior(2) | phantom.interior(3)
        error = values(finished, f"rings_{name}")[..., 0] - phantom.amplitudes[..., k]
        inside = inside & (spread > 0)
        assert 0.8 < (np.abs(error[inside]) < 1.645 * spread[inside]).mean() < 0.99
    rise = values(finished, "series_Glc_amplitude").mean((0, 1, 2))
    np.testing.assert_allclose(np.diff(rise), [1, 1], atol=0.2)
    assert rise[0] < 1.8  # its header gives no delay: what 0.6 ms of phase encoding cost when nobody says so


def test_nothing_is_written_outside_the_mask(finished: Path, phantom: DmiPhantom) -> None:
    for name in ("water_amplitude", "Lac", "quality", "shift"):
        assert (values(finished, f"rings_{name}")[..., 0][~phantom.mask] == 0).all()
    assert (values(finished, "rings_quality")[..., 0][phantom.mask] == 1).mean() > 0.98


def test_fitted_fids_leave_the_noise(folder: Path, finished: Path) -> None:
    measured, fit = read_fids(folder / "series.nii.gz"), read_fids(finished / "series_fit.nii.gz")
    assert fit.values.shape == measured.values.shape
    assert fit.tags == measured.tags
    left = (measured.values - fit.values)[..., 20:, :]
    assert left.real.std() < 1.15 * noise_of_snr(MODEL, 40.0, amplitude=10.0)  # its delay is not known


def test_an_unknown_delay_is_assumed_and_said(finished: Path) -> None:
    flags = {stem: json.loads((finished / f"{stem}.json").read_text())["flags"] for stem in ("series", "voxel")}
    assert any("no acquisition delay" in flag for flag in flags["series"])
    assert not any("delay" in flag for flag in flags["voxel"])


@pytest.mark.parametrize("stem", ["voxel", "series", "rings"])
def test_call_gives_what_the_command_gives(folder: Path, finished: Path, stem: str) -> None:
    fids = read_fids(folder / f"{stem}.nii.gz")
    delay = {} if fids.delay is None else {"delay": fids.delay}
    companions = {}
    if stem == "rings":
        mri = nib.load(folder / "rings_mri.nii.gz")
        companions = {
            "mask": nib.load(folder / "rings_mask.nii.gz").get_fdata(),
            "mri": mri.get_fdata(),
            "mri_affine": mri.affine,
        }
    result = predict(
        fids.values, dwell=fids.dwell, larmor=fids.larmor, affine=fids.affine, water_mM=10, **delay, **companions
    )
    for name in (*output_names(METABOLITES), *(["Lac_bias"] if companions else [])):
        np.testing.assert_allclose(result.maps[name], values(finished, f"{stem}_{name}"), rtol=1e-4, atol=1e-5)


def test_other_tracers_need_only_the_config(tmp_path: Path, command: Command, folder: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "voxel.nii.gz").write_bytes((folder / "voxel.nii.gz").read_bytes())
    done = command(dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", metabolites="['water','acetate']")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "voxel_acetate_sd.nii.gz").exists()
    assert not list((tmp_path / "out").glob("*Lac*"))


@pytest.mark.skipif(not VOXEL.exists(), reason="needs shared/data")
def test_a_measured_voxel_agrees_with_pyamares(tmp_path: Path, command: Command) -> None:
    """What pyAMARES makes of it with its authors' table is in docs/results.md, written there by the benchmark."""
    stored = np.loadtxt(VOXEL)
    fid = (stored[:, 0] - 1j * stored[:, 1]).astype(np.complex64).reshape(1, 1, 1, -1)
    (tmp_path / "in").mkdir()
    write_fids(tmp_path / "in" / "voxel.nii.gz", fids_of(fid, dwell=2e-4, larmor=19.613053, delay=0.0))
    done = command(dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", fit_t2_star="true")
    assert done.returncode == 0, done.stderr
    assert "voxel.nii.gz: relaxation times were fitted to 1 FIDs only" in done.stdout
    rows = json.loads((BUNDLE / "docs" / "results.json").read_text())["rows"]

    def of_peer(name: str, metric: str) -> float:
        wanted = {"set": name, "method": "pyAMARES", "metric": f"{metric} / first sample"}
        return next(row["mean"] for row in rows if wanted.items() <= row.items())

    first = float(np.abs(fid[0, 0, 0, :700]).max())
    for name in ("water", "Glc", "Glx", "Lac"):
        ours, sd = (
            float(nib.load(tmp_path / "out" / f"voxel_{name}_{what}.nii.gz").get_fdata().item())
            for what in ("amplitude", "amplitude_sd")
        )
        both = float(np.hypot(sd / first, of_peer(name, "stated SD")))
        assert abs(ours / first - of_peer(name, "amplitude")) < both


@pytest.mark.parametrize(
    ("header", "delay", "words"),
    [
        ({"EchoTime": 0.0006}, 0.0006, None),
        ({"EchoTime": 0.0006, "AcquisitionStartTime": 0.0}, 0.0006, None),
        ({"AcquisitionStartTime": 0.0006}, 0.0006, None),
        ({"EchoTime": 0.03, "AcquisitionStartTime": 0.0}, 0.0, "taken for an echo"),
    ],
)
def test_delay_is_what_the_header_says(
    header: dict, delay: float | None, words: str | None, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "in" / "a.nii.gz"
    path.parent.mkdir()
    values = simulated(np.tile([10.0, 2, 3, 1], (1, 1, 1, 1)), 60.0)
    write_fids(path, fids_of(values, delay=None, extension=header))
    assert read_fids(path).delay == delay
    if words is not None:
        assert command(dataset_dir=path.parent, output_dir=tmp_path / "out").returncode == 0
        assert any(words in flag for flag in json.loads((tmp_path / "out" / "a.json").read_text())["flags"])


def test_the_papers_network_runs_by_its_config(tmp_path: Path, folder: Path) -> None:
    maps = tmp_path / "in"
    maps.mkdir()
    for name in ("rings.nii.gz", "rings_mask.nii.gz", "rings_mri.nii.gz"):
        (maps / name).write_bytes((folder / name).read_bytes())
    (maps / "plain.nii.gz").write_bytes((folder / "rings.nii.gz").read_bytes())
    on_one_core(
        run_line(
            "inference", "reference_precise_dmi", repeats=2, epochs=1, dataset_dir=maps, output_dir=tmp_path / "out"
        ),
        cwd=BUNDLE,
    )
    for stem in ("rings", "plain"):
        water = values(tmp_path / "out", f"{stem}_water_amplitude")
        assert np.median(water[water > 0]) == pytest.approx(10, rel=0.15)
        flags = json.loads((tmp_path / "out" / f"{stem}.json").read_text())["flags"]
        assert any("network was trained at" in flag and "delay 0.0006" in flag for flag in flags)
    spread = values(tmp_path / "out", "rings_Glx_sd")[values(tmp_path / "out", "rings_quality") > 0]
    assert (spread > 0).all()
    assert np.isnan(values(tmp_path / "out", "plain_Glx_sd")[water > 0]).all()  # not known is not exact


def test_the_published_method_runs_from_anywhere_and_refuses_bad_values(tmp_path: Path, folder: Path) -> None:
    line = [sys.executable, "-m", "mrsikit", "quantify"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "voxel.nii.gz").write_bytes((folder / "voxel.nii.gz").read_bytes())
    line += [str(tmp_path / "in"), str(tmp_path / "out"), "--method", "precise_dmi"]
    bad = subprocess.run(
        [*line, "--strength", "-1", "--repeats", "1", "--batch", "all", "--epochs", "0"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 1
    assert "Traceback" not in bad.stdout + bad.stderr
    for word in ("--strength -1", "--repeats 1", "--batch all", "--epochs 0"):
        assert word in bad.stdout + bad.stderr
    on_one_core(line, cwd="/")
    record = json.loads((tmp_path / "out" / "voxel.json").read_text())
    assert record["parameters"]["reference"] == "precise_dmi"
    assert record["parameters"]["batch"] == "neighbourhood"
    assert not any("shipped weights" in flag for flag in record["flags"])


def test_bad_options_end_with_a_line_each(command: Command, folder: Path, tmp_path: Path) -> None:
    bad = {"water_mN": 10, "max_shift": -1, "fit_t2_star": "maybe", "device": "cuda:99"}
    bad |= {"factors": "{'Glu':0.5}", "delay": 600, "prior_strength": "abc"}
    done = command(dataset_dir=folder, output_dir=tmp_path / "out", **bad)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for word in ("--water_mN", "--max_shift", "--fit_t2_star", "--device", "--factors Glu", "--delay", "--prior_"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()
