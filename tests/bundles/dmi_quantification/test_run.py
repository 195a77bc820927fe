import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from command_lines import on_one_core, run_line

from dmi_quantification import predict
from dmi_quantification.acquisition import output_names
from mrsikit.io import InputError, read_fids, write_fids
from mrsikit.phantoms.dmi import DmiPhantom
from mrsikit.physics import spectra
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
    assert any("bad.nii.gz,skipped" in row and "give 2H" in row for row in rows)


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


def test_relaxation_times_are_fitted_on_request(phantom: DmiPhantom) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(400, -1)
    fids = MODEL.simulate(truth, noise=2.0, broadening=2.0, generator=generator).numpy().reshape(20, 20, 1, -1)
    options = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay, "t2_star": {"Glx": 0.025}}
    wrong = predict(fids, **options).maps["Glx_amplitude"].mean()
    right = predict(fids, fit_t2_star=True, **options).maps["Glx_amplitude"].mean()
    assert wrong > 1.08 * 3
    assert right == pytest.approx(3, rel=0.03)


def test_other_tracers_need_only_the_config(tmp_path: Path, command: Command, folder: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "voxel.nii.gz").write_bytes((folder / "voxel.nii.gz").read_bytes())
    done = command(dataset_dir=tmp_path / "in", output_dir=tmp_path / "out", metabolites="['water','acetate']")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "out" / "voxel_acetate_sd.nii.gz").exists()
    assert not list((tmp_path / "out").glob("*Lac*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("noise", "mostly noise"),
        ("extra", "a line near 0.5 ppm that is not in the model"),
        ("mirrored", "looks mirrored"),
        ("filtered", "noise changes along the FIDs"),
        ("short", "cannot tell lines"),
        ("lipid", "lipid at 1.3 ppm"),
        ("shift", "largest sought"),
        ("t2", "T2* of Glx looks shorter"),
    ],
)
def test_what_the_model_lacks_is_said(change: str, words: str) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(64, -1)
    state = {"noise": 1.5, "generator": generator}
    if change == "noise":
        fids = MODEL.simulate(0 * truth, **state)
    elif change == "shift":
        fids = MODEL.simulate(truth, shift=45.0, **state)
    else:
        fids = MODEL.simulate(truth, **state)
    at = MODEL.times
    hz = {"extra": 4.2 * 76.7, "lipid": 3.4 * 76.7, "t2": 2.3 * 76.7}.get(change, 0.0)
    size, life = {"extra": (4.0, 0.03), "lipid": (12.0, 0.006), "t2": (0.0, 1.0)}.get(change, (0.0, 1.0))
    fids = fids + (size * torch.polar(torch.exp(-at / life), 2 * torch.pi * hz * (at + MODEL.delay))).to(fids.dtype)
    options = {"t2_star": {"Glx": 0.06}} if change == "t2" else {}
    if change == "mirrored":
        fids = fids.conj().resolve_conj()
    elif change == "filtered":
        fids = spectra.broadened(fids, 8.0, at)
    elif change == "short":
        fids = fids[:, :40]
    result = predict(
        fids.numpy().reshape(8, 8, 1, -1), dwell=MODEL.dwell, larmor=MODEL.larmor, delay=MODEL.delay, **options
    )
    assert any(words in flag for flag in result.flags), result.flags


def test_sound_data_raise_no_flag() -> None:
    truth = torch.tensor([10.0, 2.0, 3.0, 1.0]).expand(256, -1)
    fids = MODEL.simulate(truth, noise=2.0, broadening=3.0, shift=4.0, generator=torch.Generator().manual_seed(3))
    result = predict(fids.numpy().reshape(16, 16, 1, -1), dwell=MODEL.dwell, larmor=MODEL.larmor, delay=MODEL.delay)
    assert result.flags == []
    assert (result.maps["quality"] == 1).all()


def test_noise_does_not_become_a_map_by_smoothing() -> None:
    generator = torch.Generator().manual_seed(0)
    fids = MODEL.simulate(torch.zeros(144, 4), noise=3.0, generator=generator).numpy().reshape(12, 12, 1, -1)
    mri = np.ones((12, 12, 1)) + np.eye(12)[..., None]
    result = predict(fids, dwell=MODEL.dwell, larmor=MODEL.larmor, delay=MODEL.delay, mri=mri)
    assert (result.maps["quality"] == 2).mean() > 0.6
    assert any("mostly noise" in flag for flag in result.flags)


def test_a_lesion_in_the_water_is_not_painted_over() -> None:
    truth = np.tile([10.0, 2, 3, 1], (16, 16, 1, 1))
    truth[6:8, 6:8, 0, 0] = 5
    mri = np.ones((16, 16, 1)) + 0.01 * np.arange(16)[:, None, None]
    maps = predict(simulated(truth, 12.0), dwell=MODEL.dwell, larmor=MODEL.larmor, delay=MODEL.delay, mri=mri).maps
    assert maps["water_amplitude"][6:8, 6:8].mean() == pytest.approx(5, abs=0.8)
    assert maps["Glx"][6:8, 6:8].mean() == pytest.approx(0.6, abs=0.15)


def test_fids_of_zeros_within_the_mask_are_not_data() -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    fids[3:5, 3:5] = 0
    options = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay, "mask": np.ones((8, 8, 1))}
    for extra in ({}, {"fit_t2_star": True}, {"mri": np.ones((8, 8, 1)) + np.eye(8)[..., None]}):
        maps = predict(fids, **options, **extra).maps
        assert (maps["quality"][3:5, 3:5] == 0).all()
        assert (maps["Glx"][3:5, 3:5] == 0).all()
        assert np.abs(maps["water_amplitude"][2, 2:6] - 10).max() < 2.5
        assert all(np.isfinite(values).all() for name, values in maps.items() if name != "fit")


@pytest.mark.parametrize(("away", "share"), [(6.0, "25%"), (7.8, "0%")])
def test_an_mri_does_nothing_where_it_does_not_cover_the_fids(away: float, share: str) -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    options = {"dwell": MODEL.dwell, "larmor": MODEL.larmor, "delay": MODEL.delay}
    beside = np.eye(4)
    beside[0, 3] = away
    plain = predict(fids, **options)
    mri = np.random.default_rng(0).random((9, 9, 1))
    result = predict(fids, mri=mri, mri_affine=beside, affine=np.eye(4), **options)
    assert any(f"MRI covers {share}" in flag for flag in result.flags)
    bare = slice(0, 8 if share == "0%" else int(away))
    np.testing.assert_allclose(result.maps["Glx_amplitude"][bare], plain.maps["Glx_amplitude"][bare])


def test_the_figure_shows_what_there_is(tmp_path: Path, command: Command) -> None:
    """A scan that was stopped, and one of which nothing was fitted."""
    rise = np.stack([np.tile([10.0, 2, 3, 1], (4, 4, 2, 1)) for _ in range(3)], -2)
    series = simulated(rise, 20.0).swapaxes(3, 4).copy()
    series[..., 2] = 0
    (tmp_path / "in").mkdir()
    write_fids(tmp_path / "in" / "stopped.nii.gz", fids_of(series, extension={"dim_5": "DIM_DYN"}))
    write_fids(tmp_path / "in" / "masked.nii.gz", fids_of(series[..., 0] * (np.arange(4) < 2)[:, None, None, None]))
    grid = np.diag([5.0, 5, 5, 1])
    outside = np.zeros((4, 4, 2), np.uint8)
    outside[3] = 1
    nib.save(nib.Nifti1Image(outside, grid), tmp_path / "in" / "masked_mask.nii.gz")
    done = command(dataset_dir=tmp_path / "in", output_dir=tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out" / "report.html").read_text().count("base64,") == 2


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.eye(3), np.full((4, 4), np.nan)])
def test_an_affine_that_is_none_is_refused(affine: np.ndarray) -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    mri = np.random.default_rng(0).random((9, 9, 9, 1))
    with pytest.raises(InputError, match="invertible 4 x 4"):
        predict(fids, mri=mri, mri_affine=affine, affine=np.eye(4), dwell=MODEL.dwell, larmor=MODEL.larmor)
    assert predict(fids, mri=mri, mri_affine=np.eye(4), affine=np.eye(4), dwell=MODEL.dwell, larmor=MODEL.larmor)


def test_an_mri_elsewhere_is_refused() -> None:
    fids = simulated(np.tile([10.0, 2, 3, 1], (8, 8, 1, 1)), 12.0)
    elsewhere = np.eye(4)
    elsewhere[0, 3] = 9
    with pytest.raises(InputError, match="does not overlap"):
        predict(
            fids,
            mri=np.random.default_rng(0).random((9, 9, 9)),
            mri_affine=elsewhere,
            affine=np.eye(4),
            dwell=MODEL.dwell,
            larmor=MODEL.larmor,
        )


@pytest.mark.skipif(not VOXEL.exists(), reason="needs shared/data")
def test_a_measured_voxel_agrees_with_pyamares(tmp_path: Path, command: Command) -> None:
    """What pyAMARES makes of it with its authors' table is in the model card, written there by the benchmark."""
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
        run_line("inference", "reference_precise_dmi", repeats=2, dataset_dir=maps, output_dir=tmp_path / "out"),
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


def test_bad_options_end_with_a_line_each(command: Command, folder: Path, tmp_path: Path) -> None:
    bad = {"water_mN": 10, "max_shift": -1, "fit_t2_star": "maybe", "device": "cuda:99"}
    bad |= {"factors": "{'Glu':0.5}", "delay": 600, "prior_strength": "abc"}
    done = command(dataset_dir=folder, output_dir=tmp_path / "out", **bad)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for word in ("--water_mN", "--max_shift", "--fit_t2_star", "--device", "--factors Glu", "--delay", "--prior_"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()
