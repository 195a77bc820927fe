import json
from pathlib import Path
from typing import Any

import pytest

from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.names import read_bids_name
from mrsikit.runtime.bids.patterns import Pattern, read_patterns
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.labelled_maps import MAPS


def first(key: str, stem: str) -> int | None:
    """Which of the default patterns matches a name."""
    matches = (k for k, pattern in enumerate(read_patterns(None)[key]) if pattern.matches(read_bids_name(stem)))
    return next(matches, None)


@pytest.mark.parametrize(
    ("key", "stem", "rank"),
    [
        ("image", "sub-01_met-NAA_desc-inpainted_mrsimap", 0),
        ("image", "sub-01_ses-V1_space-orig_met-CrPCr_desc-signal_mrsi", 1),
        ("image", "sub-01_acq-conc_met-Ins_desc-signal_mrsi", 1),
        ("image", "sub-01_met-NAA_mrsimap", 2),
        ("image", "sub-01_space-MNI152_met-NAA_desc-signal_mrsi", None),
        ("image", "sub-01_met-NAA_desc-uncertainty_mrsimap", None),
        ("image", "sub-01_met-NAA_desc-filled_mask", None),
        ("image", "sub-01_nuc-1H_mrsi", None),
        ("crlb", "sub-01_space-orig_met-NAA_desc-crlb_mrsi", 0),
        ("fwhm", "sub-01_space-orig_desc-fwhm_mrsi", 0),
        ("brain", "sub-01_desc-brainmask_mrsi", 0),
        ("brain", "sub-01_space-mrsi_desc-brain_mask", 1),
        ("brain", "sub-01_desc-brain_mask", None),  # of the MRI
        ("t1", "sub-01_desc-brain_T1w", 0),
        ("t1", "sub-01_acq-mprage_T1w", 1),
        ("t1", "sub-01_space-MNI_T1w", None),
        ("flair", "sub-01_FLAIR", 1),
        ("csf", "sub-01_label-CSF_probseg", 0),
        ("csf", "sub-01_space-MNI_label-CSF_probseg", None),
    ],
)
def test_the_default_patterns(key: str, stem: str, rank: int | None) -> None:
    assert first(key, stem) == rank


def test_the_default_patterns_are_for_the_companions_of_the_bundles() -> None:
    configs = [json.loads((bundle_root(bundle) / "configs" / "inference.json").read_text()) for bundle in MAPS]
    assert set(read_patterns(None)) == {"image"}.union(*(config["companions"] for config in configs))


def test_a_list_gives_several_labels_and_null_is_none() -> None:
    pattern = Pattern({"acq": ("a*", None), "suffix": ("mrsi",)})
    stems = ("sub-1_acq-ab_mrsi", "sub-1_mrsi", "sub-1_acq-b_mrsi", "sub-1_acq-ab_desc-x_mrsi")
    assert [pattern.matches(read_bids_name(stem)) for stem in stems] == [True, True, False, False]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    patterns = read_patterns(write(tmp_path / "p.json", {"image": {"met": "NAA", "suffix": "conc"}}))
    assert [pattern.labels for pattern in patterns["image"]] == [{"met": ("NAA",), "suffix": ("conc",)}]
    assert patterns["t1"] == read_patterns(None)["t1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"image": ', "is no JSON that can be read"),
        ([1], "holds no object"),
        ({"images": {"suffix": "mrsi"}}, "'images' is nothing that a bundle reads; give one of image, crlb"),
        ({"image": []}, "'image' is no pattern with a suffix"),
        ({"image": {"met": "*"}}, "'image' is no pattern with a suffix"),
        ({"t1": [{"suffix": "T1w"}, {"suffix": 3}]}, "'t1' is no pattern with a suffix"),
    ],
)
def test_broken_patterns_are_named(tmp_path: Path, content: Any, said: str) -> None:
    path = write(tmp_path / "p.json", content)
    with pytest.raises(InputError, match=f"p.json: .*{said}"):
        read_patterns(path)
    with pytest.raises(InputError, match="none.json: is no JSON"):
        read_patterns(tmp_path / "none.json")
