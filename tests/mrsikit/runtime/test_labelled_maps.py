import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mrsikit.io import InputError
from mrsikit.runtime import InputFolder
from mrsikit.runtime.labelled_maps import MAPS, find_labels, find_maps, read_labels

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"


def save(path: Path, values: np.ndarray | None = None, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).uniform(1, 9, (8, 9, 4)) if values is None else values
    nib.save(nib.Nifti1Image(values.astype(np.float32), np.diag([8.0, 8, 10, 1]) if affine is None else affine), path)
    return path


def record(path: Path, bundle: str, **parameters: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mrsikit": "0", "bundle": {"name": bundle}, "parameters": parameters}))


def names(found: dict[Path, Path], root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): labels.name for path, labels in found.items()}


def test_results_are_found_by_their_records(tmp_path: Path) -> None:
    for stem, bundle, what in (
        ("s1/s1_NAA", "mrsi_inpainting", "inpainted"),
        ("s2_tCr", "mrsi_super_resolution", "sr"),
    ):
        record(tmp_path / f"{stem}.json", bundle)
        for suffix in (what, "holes", "uncertainty"):
            save(tmp_path / f"{stem}_{suffix}.nii.gz")
    record(tmp_path / "scan.json", "dmi_quantification", metabolites=["water", "Glc"])
    for suffix in ("Glc", "Glc_sd", "water_amplitude"):
        save(tmp_path / f"scan_{suffix}.nii.gz")
    record(tmp_path / "killed.json", "mrsi_inpainting")  # its map was deleted
    (tmp_path / "names.json").write_text('{"1": "frontal"}')
    found = find_maps(tmp_path)
    assert [(f.path.name, f.case, f.metabolite) for f in found] == [
        ("s1_NAA_inpainted.nii.gz", "s1/s1", "NAA"),
        ("s2_tCr_sr.nii.gz", "s2", "tCr"),
        ("scan_Glc.nii.gz", "scan", "Glc"),
    ]
    assert found[0].stem == tmp_path / "s1" / "s1_NAA"


def test_maps_without_records_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("s1_NAA", "s1_Cr_PCr_inpainted", "s1_NAA_crlb", "s1_rois", "t1w"):
        save(tmp_path / f"{name}.nii.gz")
    save(tmp_path / "lesionlike.nii.gz", np.eye(8)[..., None].repeat(3, -1))
    assert [(f.path.name, f.stem.name, f.metabolite) for f in find_maps(tmp_path)] == [
        ("s1_Cr_PCr_inpainted.nii.gz", "s1_Cr_PCr", "Cr+PCr"), ("s1_NAA.nii.gz", "s1_NAA", "NAA"),
    ]  # fmt: skip
    assert find_maps(tmp_path / "nowhere") == []


@pytest.mark.parametrize("bundle", MAPS)
def test_the_suffix_of_the_map_is_an_output_of_the_bundle(bundle: str) -> None:
    config = json.loads((BUNDLES / bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert MAPS[bundle] in config["outputs"]


@pytest.mark.parametrize("bundle", sorted(path.name for path in BUNDLES.iterdir()))
def test_no_bundle_takes_labels_for_an_input(bundle: str, tmp_path: Path) -> None:
    config = json.loads((BUNDLES / bundle / "configs" / "inference.json").read_text(encoding="utf-8"))
    given = {name: config["inputs"].get(name) for name in ("companions", "outputs", "optional_outputs", "holds")}
    given = {name: config.get(str(value).lstrip("@"), value) for name, value in given.items() if value}
    lists = {name: value for name, value in given.items() if not str(value).startswith("$")}
    for name in ("s1_NAA", "s1_rois", "s1_NAA_rois", "rois", "s1_rois_v2"):
        save(tmp_path / f"{name}.nii.gz")
    inputs = InputFolder(dataset_dir=tmp_path, output_dir=tmp_path / "out", **lists)
    assert inputs.names() == ["s1_NAA"]
    assert all("labels of regions" in why for why in inputs.unused().values())
    assert len(inputs.unused()) == 4


def test_labels_serve_a_map_a_session_or_a_folder(tmp_path: Path) -> None:
    for name in ("s1_NAA", "s1_tCr", "s2_NAA", "deep/NAA", "deep/tCr", "bare/NAA"):
        save(tmp_path / f"{name}.nii.gz")
    for name in ("s1_rois", "s1_tCr_rois", "deep/ROIS", "rois"):
        save(tmp_path / f"{name}.nii.gz")
    maps = find_maps(tmp_path)
    assert names(find_labels(maps, tmp_path, None), tmp_path) == {
        "s1_NAA.nii.gz": "s1_rois.nii.gz",
        "s1_tCr.nii.gz": "s1_tCr_rois.nii.gz",
        "deep/NAA.nii.gz": "ROIS.nii.gz",
        "deep/tCr.nii.gz": "ROIS.nii.gz",
    }  # that of the top folder, which holds two sessions, is nobody's


def test_labels_lie_in_another_folder_or_are_one_file(tmp_path: Path) -> None:
    save(tmp_path / "out" / "a" / "s1_NAA.nii.gz")
    labels = save(tmp_path / "in" / "a" / "s1_rois.nii")
    maps = find_maps(tmp_path / "out")
    assert list(find_labels(maps, tmp_path / "out", tmp_path / "in").values()) == [labels]
    assert find_labels(maps, tmp_path / "out", None) == {}
    assert list(find_labels(maps, tmp_path / "out", labels).values()) == [labels]
    with pytest.raises(InputError, match="nowhere: does not exist"):
        find_labels(maps, tmp_path / "out", tmp_path / "nowhere")
    save(tmp_path / "in" / "a" / "s1_rois.nii.gz")
    with pytest.raises(InputError, match=r"s1_rois\.nii: is there twice, also as s1_rois\.nii\.gz; keep one"):
        find_labels(maps, tmp_path / "out", tmp_path / "in")


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".tsv", "index\tname\tcolor\n1\tfrontal\tred\n17\tleft thalamus\tblue\n"),
        (".json", '{"1": "frontal", "17": "left thalamus"}'),
    ],
)
def test_names_of_labels_lie_with_them(tmp_path: Path, ending: str, text: str) -> None:
    path = save(tmp_path / "s1_rois.nii.gz", np.ones((4, 4)))
    assert read_labels(path).names == {}
    (tmp_path / f"s1_rois{ending}").write_text(text, encoding="utf-8-sig")
    assert read_labels(path).names == {1: "frontal", 17: "left thalamus"}


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (".tsv", "label\tname\n1\tfrontal\n"), (".tsv", "index,name\n1,frontal\n"), (".tsv", "index\tname\nx\ty\n"),
        (".json", "[1]"), (".json", "{"), (".json", '{"frontal": 1}'), (".json", '{"-1": "frontal"}'),
    ],
)  # fmt: skip
def test_bad_names_are_refused_with_their_file(tmp_path: Path, ending: str, text: str) -> None:
    path = save(tmp_path / "s1_rois.nii.gz", np.ones((4, 4)))
    (tmp_path / f"s1_rois{ending}").write_text(text)
    with pytest.raises(InputError, match=rf"s1_rois\{ending}: names"):
        read_labels(path)


def test_bad_labels_are_refused_with_their_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"s1_rois\.nii\.gz: labels hold other values"):
        read_labels(save(tmp_path / "s1_rois.nii.gz"))
    (tmp_path / "s2_rois.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"s2_rois\.nii\.gz: cannot be read"):
        read_labels(tmp_path / "s2_rois.nii.gz")
