import importlib.metadata
import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import mrsikit
from command_lines import run_line
from mrsikit.__main__ import COMMANDS, IMPORT_OPTIONS, command_help, main
from mrsikit.runtime.bundles import bundle_root, reference_methods
from option_tables import model_of

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.name for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What MONAI is started with, instead of starting it."""
    lines: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["mrsikit"])
    monkeypatch.setattr(runpy, "run_module", lambda *_, **__: lines.append(sys.argv[1:]))
    return lines


def stopped(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert isinstance(stop.value.code, str)  # Python prints it and ends with code 1
    return stop.value.code


def test_every_bundle_has_one_command() -> None:
    assert sorted(bundle for bundle, _ in COMMANDS.values()) == BUNDLES


def test_the_overview_names_every_command_and_imports_neither_torch_nor_monai() -> None:
    code = "import sys; from mrsikit.__main__ import main; main(['--help']); main(['--version']); "
    code += "print({'torch', 'monai', 'numpy', 'pydantic'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith(f"{mrsikit.__version__}\nset()\n")
    for command in (*COMMANDS, "report", "regions", "import", "bids"):
        assert f"\n  {command} " in said


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_neither_torch_nor_monai(command: str) -> None:
    code = f"import sys; from mrsikit.__main__ import main; main(['{command}', '--help']); "
    code += "print({'torch', 'monai'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"mrsikit {command} ")
    assert said.endswith("\nset()\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_lists_the_options_of_its_bundle(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([command, "a", "b", "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"mrsikit {command} ")
    options = {line.strip() for line in said.splitlines() if line.startswith("  --")}
    model = model_of(COMMANDS[command][0])
    methods = "|".join(reference_methods(bundle_root(COMMANDS[command][0])))
    if methods:
        options.remove(f"--method {methods}")
    assert options == {f"--{name}" for name in model.model_fields} - {"--dataset_dir", "--output_dir"}
    assert max(map(len, command_help(command, 60).splitlines()[4:])) <= 60


def test_a_command_is_the_reference_command(started: list[list[str]], tmp_path: Path) -> None:
    root = bundle_root("mrsi_inpainting")
    main(["fill", str(tmp_path), "/out", "--threshold", "0.9", "--report=false"])
    config = root / "configs" / "inference.json"
    line = run_line(config, bundle_root=root, dataset_dir=tmp_path, output_dir="/out", threshold=0.9)
    assert started == [[*line[3:], "--report=false"]]


def test_new_sessions_need_no_input(started: list[list[str]]) -> None:
    main(["synthesise", "/out", "--number", "4"])
    main(["synthesise", "/in", "/out", "--sampling", "hybrid"])
    assert ["--dataset_dir" in line for line in started] == [False, True]
    assert all(line[line.index("--output_dir") + 1] == "/out" for line in started)


def test_a_report_is_written_again_by_the_bundle_and_the_options_of_the_records(
    started: list[list[str]], tmp_path: Path
) -> None:
    parameters = {"check": False, "threshold": 0.7, "volumetric": None, "no option": 1}
    record = {"mrsikit": "0", "bundle": {"name": "mrsi_inpainting"}, "parameters": parameters}
    (tmp_path / "NAA.json").write_text(json.dumps(record))
    main(["report", "/in", str(tmp_path), "--figures", "3"])
    (line,) = started
    assert str(bundle_root("mrsi_inpainting")) in line
    assert line[line.index("--output_dir") + 1] == str(tmp_path)
    assert line[-8:] == ["--check", "false", "--threshold", "0.7", "--report", "true", "--figures", "3"]


def test_the_report_of_a_published_method_is_written_by_its_config(started: list[list[str]], tmp_path: Path) -> None:
    parameters = {"method": 2, "reference": "li", "generator": "gan"}
    record = {"mrsikit": "0", "bundle": {"name": "mrsi_gan_super_resolution"}, "parameters": parameters}
    (tmp_path / "NAA.json").write_text(json.dumps(record))
    main(["report", "/in", str(tmp_path)])
    (line,) = started
    assert "reference_li.json" in line[line.index("--config_file") + 1]
    assert line[-6:] == ["--method", "2", "--generator", "gan", "--report", "true"]


def test_the_help_of_a_published_method_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    main(["super-resolve-gan", "--method", "li", "--help"])
    assert "\n  --generator\n" in capsys.readouterr().out
    assert stopped("quantify", "--method", "2", "--help").startswith("--method 2: is no published method")


def test_a_report_of_no_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text("{}")
    assert stopped("report", "/in", str(tmp_path)).startswith(f"{tmp_path}: holds no results of mrsikit")
    assert stopped("report") == "give the folders first: mrsikit report IN OUT [--option value ...]"
    main(["report", "--help"])
    assert "--figures N" in capsys.readouterr().out


@pytest.fixture
def lcmodel(tmp_path: Path, write_table: Any) -> Path:
    """Results of LCModel in two voxels."""
    for column in (1, 2):
        rows = [(f"{column}.5", 5, " ", "NAA+NAAG"), ("1.0", 999, " ", "Lac")]
        write_table(tmp_path / "results" / f"p_sl1_1-{column}.table", rows)
    return tmp_path / "results"


def test_results_are_imported_and_what_is_doubtful_is_said(
    lcmodel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lcmodel / "p_sl1_1-2.table").rename(lcmodel / "p_sl1_1-3.table")
    out = tmp_path / "out"
    main(["import", str(lcmodel), str(out), "--name=s", "--voxel_size", "10,10,12", "--overwrite", "false"])
    warning, left_out, written = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: 1 voxels between the fitted ones have no result and are missing")
    assert left_out == "left out: Lac was measured in no voxel"
    assert written.startswith(f"1 maps of LCModel (institutional units) in {out}; position: position unknown")
    assert (out / "s_NAA_NAAG.nii.gz").exists()
    main(
        [
            "import",
            str(lcmodel),
            str(out),
            "--name=s",
            "--voxel_size=9,9,9",
            "--overwrite=true",
            "--metabolites",
            "NAA_NAAG",
        ]
    )
    assert "1 maps" in capsys.readouterr().out


def test_an_import_imports_neither_torch_nor_monai(lcmodel: Path, tmp_path: Path) -> None:
    words = ["import", str(lcmodel), str(tmp_path / "out"), "--voxel_size", "10,10,12"]
    code = (
        f"import sys; from mrsikit.__main__ import main; main({words}); print({{'torch', 'monai'}} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("\nset()\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the folders first: mrsikit import FOLDER OUT [--option value ...]"),
        (["in"], "give the folders first: mrsikit import FOLDER OUT [--option value ...]"),
        (["in", "out", "--nam", "x"], "--nam: is no option of mrsikit import; did you mean --name?"),
        (["in", "out", "--zzz", "x"], "--zzz: is no option of mrsikit import; the options are --name, --reference"),
        (["in", "out", "--name", "x", "y"], "y: is no option of mrsikit import"),
        (["in", "out", "--name"], "--name: has no value; give NAME"),
        (["in", "out", "--name", "--overwrite", "true"], "--name: has no value; give NAME"),
        (["in", "out", "--overwrite", "maybe"], "--overwrite maybe: is neither true nor false; give --overwrite true"),
        (["in", "out", "--overwrite"], "--overwrite: has no value; give true|false"),
        (["absent", "out"], "absent: is no folder; give the folder of the results"),
    ],
)
def test_a_wrong_import_is_refused_in_one_line(words: list[str], said: str) -> None:
    assert stopped("import", *words).startswith(said)


def test_every_problem_of_an_import_is_a_line(lcmodel: Path, tmp_path: Path) -> None:
    for path in lcmodel.iterdir():
        path.write_text(path.read_text()[:200])
    assert len(stopped("import", str(lcmodel), str(tmp_path / "out"), "--voxel_size", "1,1,1").splitlines()) == 3
    assert not (tmp_path / "out").exists()


def test_the_help_of_the_import_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", "--help"])
    said = capsys.readouterr().out
    assert said.startswith("mrsikit import FOLDER OUT")
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  --")] == [
        f"--{n}" for n in IMPORT_OPTIONS
    ]


def test_regions_are_written_for_a_folder_of_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros((8, 9, 4), np.float32)
    labels[2:4] = 1
    for folder, name, values in (("out", "s1_NAA", labels + 1), ("in", "s1_rois", labels)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / folder / f"{name}.nii.gz")
    out = str(tmp_path / "out")
    assert stopped("regions", out).endswith("holds no labels of these maps; give s1_rois.nii.gz, or --rois")
    main(["regions", out, "--rois", str(tmp_path / "in")])
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'regions.csv'}: 1 row\n"
    table = (tmp_path / "out" / "regions.csv").read_text()
    assert table.splitlines()[1].startswith("s1_NAA.nii.gz,s1,NAA,,1,,1.0,72,0,0,2.0,2.0,0.0")
    main(["regions", out, f"--rois={tmp_path / 'in'}", "--ratio_to=none"])
    assert (tmp_path / "out" / "regions.csv").read_text() == table
    assert stopped("regions", out, "--ratio_to", "tCr", "--rois", str(tmp_path / "in")).startswith("--ratio_to tCr")


@pytest.mark.parametrize("words", [[], ["--rois", "x"], ["out", "--rois"], ["out", "x"], ["out", "--roi", "x"]])
def test_a_wrong_line_of_regions_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped("regions", *words).endswith("mrsikit regions OUT [--rois FILE_OR_FOLDER] [--ratio_to NAME]")
    main(["regions", "--help"])
    assert "--ratio_to: metabolite to divide by" in capsys.readouterr().out


def test_folders_are_taken_as_typed(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    main(["fill", "2024_02_01", "~/out"])
    (line,) = started
    assert line[line.index("--dataset_dir") + 1] == "./2024_02_01"  # else MONAI reads the number 20240201
    assert line[line.index("--output_dir") + 1] == "/somewhere/out"


@pytest.mark.parametrize("words", [[], ["in"], ["--threshold", "0.9", "in", "out"], ["a.nii", "b.nii", "out"]])
def test_wrong_folders_are_refused_in_one_line(started: list[list[str]], words: list[str]) -> None:
    said = stopped("fill", *words)
    assert said.startswith("give the folders first")
    assert said.endswith("mrsikit fill IN OUT [--option value ...]")
    assert ("for several maps give their folder" in said) == (len(words) == 3)
    assert stopped("synthesise").endswith("mrsikit synthesise [IN] OUT [--option value ...]")
    assert started == []


def test_an_unknown_command_is_refused_with_the_nearest() -> None:
    assert stopped("fil", "in", "out") == "mrsikit fil: is no command; did you mean fill?"
    assert "the commands are fill, super-resolve" in stopped("zzz")


def test_the_installed_program_is_this_function() -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert importlib.metadata.EntryPoint("mrsikit", scripts["mrsikit"], "console_scripts").load() is main
