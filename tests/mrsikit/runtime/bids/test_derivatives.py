import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.dataset import BidsFile, BidsMap
from mrsikit.runtime.bids.derivatives import (
    OUTPUTS,
    check_output,
    describe_dataset,
    link_names,
    read_json,
    write_derivatives,
)
from mrsikit.runtime.bids.names import read_bids_name
from mrsikit.runtime.bids.patterns import read_patterns
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.labelled_maps import MAPS

STEM = "sub-01_ses-1_met-NAA_desc-signal_mrsi"


def bids_file(dataset: Path, place: str) -> BidsFile:
    path = dataset / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    name = read_bids_name(path.name.removesuffix(".nii.gz"))
    assert name is not None
    return BidsFile(path, name, dataset)


@pytest.fixture
def one(tmp_path: Path) -> BidsMap:
    """A map of the dataset ``data``, its bounds, and its results in ``results``."""
    file = bids_file(tmp_path / "data", f"sub-01/ses-1/{STEM}.nii.gz")
    crlb = bids_file(tmp_path / "data", f"sub-01/ses-1/{STEM.replace('signal', 'crlb')}.nii.gz")
    (tmp_path / "results").mkdir()
    for what in ("inpainted", "holes"):
        (tmp_path / "results" / f"{STEM}_{what}.nii.gz").write_text(what)
    record(tmp_path)
    return BidsMap(file, {"crlb": crlb})


def record(folder: Path, **parameters: Any) -> None:
    content = {"mrsikit": "0", "bundle": {"name": "b", "version": "1"}, "parameters": parameters}
    (folder / "results" / f"{STEM}.json").write_text(json.dumps(content))


def written(one: BidsMap, folder: Path) -> dict[str, Path]:
    images = write_derivatives(one, folder / "results", folder / "out", link_names([folder / "data"]))
    return {path.name: path for path in images}


def test_results_get_names_and_sidecars(one: BidsMap, tmp_path: Path) -> None:
    images = written(one, tmp_path)
    assert list(images) == [
        "sub-01_ses-1_met-NAA_desc-inpainted_mrsimap.nii.gz",
        "sub-01_ses-1_met-NAA_desc-filled_mask.nii.gz",
    ]
    filled, mask = images.values()
    assert filled.parent == tmp_path / "out" / "sub-01" / "ses-1" / "mrs"
    assert (filled.read_text(), mask.read_text()) == ("inpainted", "holes")
    assert filled.samefile(tmp_path / "results" / f"{STEM}_inpainted.nii.gz")  # takes no more space
    sidecar = read_json(filled.with_name(filled.name.replace(".nii.gz", ".json")))
    assert sidecar["Units"] == "arbitrary"
    assert sidecar["Sources"] == [
        f"bids:data:sub-01/ses-1/{STEM}.nii.gz",
        f"bids:data:sub-01/ses-1/{STEM.replace('signal', 'crlb')}.nii.gz",
    ]
    assert sidecar["Record"]["bundle"]["name"] == "b"
    assert "Units" not in read_json(mask.with_name(mask.name.replace(".nii.gz", ".json")))


def test_the_unit_is_that_of_the_map_else_of_the_run(one: BidsMap, tmp_path: Path) -> None:
    def unit() -> str:
        image = next(iter(written(one, tmp_path).values()))
        return read_json(image.with_name(image.name.replace(".nii.gz", ".json")))["Units"]

    record(tmp_path, unit="mM")
    assert unit() == "mM"
    one.file.path.with_name(f"{STEM}.json").write_text('{"Units": "mmol/L"}')
    assert unit() == "mmol/L"


def test_without_hard_links_results_are_copied(one: BidsMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "link", no_link)
    filled = next(iter(written(one, tmp_path).values()))
    assert filled.read_text() == "inpainted"
    assert not filled.samefile(tmp_path / "results" / f"{STEM}_inpainted.nii.gz")


def test_new_results_replace_old_ones_and_those_that_are_gone_go(one: BidsMap, tmp_path: Path) -> None:
    filled, mask = written(one, tmp_path).values()
    made = tmp_path / "results" / f"{STEM}_inpainted.nii.gz"
    made.unlink()
    made.write_text("again")
    (tmp_path / "results" / f"{STEM}_holes.nii.gz").unlink()
    assert list(written(one, tmp_path).values()) == [filled]
    assert filled.read_text() == "again"
    assert sorted(path.name for path in mask.parent.iterdir()) == sorted(
        [filled.name, filled.name.replace(".nii.gz", ".json")]
    )


def test_a_map_without_a_record_is_not_done(one: BidsMap, tmp_path: Path) -> None:
    (tmp_path / "results" / f"{STEM}.json").unlink()
    assert not written(one, tmp_path)
    assert not (tmp_path / "out").exists()


def test_every_output_of_the_bundles_has_a_name() -> None:
    for bundle in MAPS:
        config = json.loads((bundle_root(bundle) / "configs" / "inference.json").read_text())
        assert {*config["outputs"], *config["inputs"].get("optional_outputs", ())} <= set(OUTPUTS)
    assert len({output[:2] for output in OUTPUTS.values()}) == len(OUTPUTS)


def test_the_next_bundle_reads_filled_maps_and_none_of_the_other_outputs() -> None:
    signal = read_bids_name(STEM)
    assert signal is not None
    names = {what: read_bids_name(signal.described(output.desc, output.suffix)) for what, output in OUTPUTS.items()}
    patterns = read_patterns(None)["image"]
    assert [what for what, name in names.items() if any(p.matches(name) for p in patterns)] == ["inpainted"]


def test_link_names() -> None:
    paths = [Path("a/maps v2"), Path("b/maps v2"), Path("c/maps")]
    assert list(link_names(paths).values()) == ["maps-v2", "maps-v2-2", "maps"]


def test_the_description_of_the_dataset(tmp_path: Path) -> None:
    raw, out, other = (tmp_path / name for name in ("raw", "out", "other"))
    for folder in (raw, out):
        folder.mkdir()
    (raw / "dataset_description.json").write_text('{"Name": "Study", "License": "CC0", "DatasetDOI": "doi:10.1/x"}')
    (out / ".bidsignore").write_text("mine\n/mrsi_inpainting\n")
    for _ in range(2):
        describe_dataset(out, "mrsi_inpainting", "0.1", link_names([raw]))
    describe_dataset(out, "mrsi_inpainting", "0.1", link_names([raw, other]))
    about = read_json(out / "dataset_description.json")
    assert about["Name"] == "mrsi_inpainting of Study"
    assert (about["DatasetType"], about["License"]) == ("derivative", "CC0")
    assert about["DatasetLinks"] == {"raw": "../raw", "other": "../other"}
    assert about["SourceDatasets"] == [{"DOI": "doi:10.1/x"}]
    assert about["GeneratedBy"][0]["Name"] == "mrsikit"
    lines = (out / ".bidsignore").read_text().splitlines()
    assert lines[:2] == ["mine", "/mrsi_inpainting"]
    assert len(lines) == len(set(lines))
    names = [f"sub-01_desc-{output.desc}_{output.suffix}.nii.gz" for output in OUTPUTS.values()]
    assert all(any(fnmatch(name, line) for line in lines) for name in names)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("data", "lies in the dataset that is read; give .*derivatives/mrsikit, or a folder elsewhere"),
        ("data/out", "lies in the dataset that is read"),
        ("data/derivatives", "lies in the dataset that is read"),
        ("data/derivatives/maps", "is read as a dataset, too"),
        ("foreign", "holds a dataset that mrsikit did not make"),
        ("gan", "holds results of mrsi_gan_super_resolution; give another folder for those of mrsi_inpainting"),
        ("data/derivatives/filled", ""),
        ("elsewhere", ""),
        ("ours", ""),
    ],
)
def test_where_results_may_go(tmp_path: Path, place: str, said: str) -> None:
    for folder in ("data/derivatives/maps", "foreign", "gan/mrsi_gan_super_resolution", "ours/mrsi_inpainting"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "foreign" / "dataset_description.json").write_text('{"Name": "x", "GeneratedBy": [{"Name": "y"}]}')
    (tmp_path / "ours" / "dataset_description.json").write_text('{"Name": "x", "GeneratedBy": [{"Name": "mrsikit"}]}')
    datasets = [tmp_path / "data", tmp_path / "data" / "derivatives" / "maps"]
    if not said:
        check_output(tmp_path / place, datasets, "mrsi_inpainting", tuple(MAPS))
        return
    with pytest.raises(InputError, match=said):
        check_output(tmp_path / place, datasets, "mrsi_inpainting", tuple(MAPS))
