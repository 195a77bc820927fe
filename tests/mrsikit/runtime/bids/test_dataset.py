from pathlib import Path

import pytest

from bids_tree import make_tree
from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.dataset import BidsMap, choose_labels, dataset_of_maps, list_images, match_maps
from mrsikit.runtime.bids.patterns import read_patterns

COMPANIONS = {"crlb": "percent", "fwhm": "width", "brain": "mask", "t1": "anatomy"}
SIGNAL = "sub-02/sub-02_space-orig_met-NAANAAG_desc-signal_mrsi.nii.gz"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "data")


def found(*datasets: Path, participant: str = "02") -> list[BidsMap]:
    patterns, images = read_patterns(None), list_images(datasets)
    dataset = dataset_of_maps(datasets, images, patterns["image"])
    assert dataset is not None
    return match_maps(images[participant], patterns, COMPANIONS, dataset=dataset)


def names(one: BidsMap) -> dict[str, str]:
    return {name: file.path.relative_to(file.dataset).as_posix() for name, file in one.companions.items()}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_maps_and_companions_of_a_session(tree: Path) -> None:
    maps = found(tree, tree / "derivatives" / "mrsi-orig", participant="01")
    assert [(one.file.name.session, one.file.name.entities["met"]) for one in maps] == [
        ("1", "CrPCr"), ("1", "NAANAAG"), ("2", "CrPCr"), ("2", "NAANAAG")
    ]  # fmt: skip
    assert names(maps[3]) == {
        "crlb": "sub-01/ses-2/sub-01_ses-2_space-orig_met-NAANAAG_desc-crlb_mrsi.nii.gz",
        "fwhm": "sub-01/ses-2/sub-01_ses-2_space-orig_desc-fwhm_mrsi.nii.gz",
        "brain": "sub-01/ses-2/sub-01_ses-2_space-orig_desc-brainmask_mrsi.nii.gz",
        "t1": "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
    }


def test_a_stripped_mri_is_preferred_in_whichever_dataset(tree: Path) -> None:
    touch(tree / "derivatives" / "strip" / "sub-02" / "anat" / "sub-02_desc-brain_T1w.nii.gz")
    maps = found(tree, tree / "derivatives" / "mrsi-orig", tree / "derivatives" / "strip")
    assert names(maps[0])["t1"] == "sub-02/anat/sub-02_desc-brain_T1w.nii.gz"


def test_a_companion_of_more_entities_is_preferred(tree: Path) -> None:
    maps = tree / "derivatives" / "mrsi-orig"
    touch(maps / "sub-02" / "sub-02_space-orig_met-CrPCr_desc-brainmask_mrsi.nii.gz")
    touch(maps / "sub-02" / "sub-02_space-orig_acq-other_desc-fwhm_mrsi.nii.gz")  # of no map
    creatine, naa = found(maps)
    assert names(creatine)["brain"].endswith("met-CrPCr_desc-brainmask_mrsi.nii.gz")
    assert names(naa)["brain"].endswith("space-orig_desc-brainmask_mrsi.nii.gz")
    assert names(creatine)["fwhm"].endswith("sub-02_space-orig_desc-fwhm_mrsi.nii.gz")


def test_filled_maps_come_from_one_dataset_without_the_bounds_of_another(tree: Path) -> None:
    filled = tree / "derivatives" / "filled"
    touch(filled / "sub-02" / "mrs" / "sub-02_space-orig_met-NAANAAG_desc-inpainted_mrsimap.nii.gz")
    touch(filled / "sub-02" / "mrs" / "sub-02_space-orig_met-NAANAAG_desc-uncertainty_mrsimap.nii.gz")
    (one,) = found(filled, tree, tree / "derivatives" / "mrsi-orig")
    assert one.file.name.entities["desc"] == "inpainted"
    assert set(one.companions) == {"fwhm", "brain", "t1"}
    assert not found(filled, tree, tree / "derivatives" / "mrsi-orig", participant="01")  # not read unfilled


def test_two_files_for_one_map_or_companion_are_named(tree: Path) -> None:
    maps = tree / "derivatives" / "mrsi-orig"
    touch(maps / SIGNAL.removesuffix(".gz"))
    touch(maps / SIGNAL.replace("NAANAAG_desc-signal", "CrPCr_desc-crlb").replace("_mrsi.", "_mrsimap."))
    with pytest.raises(InputError) as error:
        found(maps)
    crlb, signal = sorted(str(error.value).splitlines())
    assert "CrPCr_desc-crlb_mrsi.nii.gz: is the same crlb as sub-02/sub-02_space-orig_met-CrPCr_desc-" in crlb
    assert f"{SIGNAL.removesuffix('.gz')}: is the same map as {SIGNAL}; keep one" in signal


def test_other_files_are_left_alone(tree: Path) -> None:
    touch(tree / "sub-02" / ".hidden" / "sub-02_met-X_mrsimap.nii.gz")
    touch(tree / "sub-02" / "sub-03_met-X_mrsimap.nii.gz")  # of another participant
    touch(tree / "sub-02" / "NAA.nii.gz")
    touch(tree / "sub-02" / "sub-02_met-X_mrsimap.nii.json")
    assert [file.path.name for file in list_images([tree])["02"]] == ["sub-02_T1w.nii.gz"]


def test_no_dataset_and_no_participants(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: is no folder; give the root of a BIDS dataset"):
        list_images([tmp_path / "none"])
    with pytest.raises(InputError, match="holds no participants; give the folder in which"):
        list_images([tmp_path])


def test_labels_with_and_without_their_key(tmp_path: Path) -> None:
    assert choose_labels(["sub-02", "01"], ["02", "01", "03"], "participant", tmp_path) == ["01", "02"]
    assert choose_labels(["ses-1"], ["1", "1"], "session", tmp_path) == ["1"]
    assert choose_labels(None, ["b", "a"], "session", tmp_path) == ["a", "b"]
    with pytest.raises(InputError) as error:
        choose_labels(["07", "01", "8"], ["01", "02"], "participant", tmp_path)
    assert str(error.value).splitlines() == [
        f"--participant-label {label}: is no participant of {tmp_path}; there are 01, 02" for label in ("07", "8")
    ]
