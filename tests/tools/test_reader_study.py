import base64
import csv
import gzip
import io
import itertools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import krippendorff
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import reader_study
from mrsikit.io import InputError
from reader_studies.key import CRITERIA, Key
from reader_studies.pages import _read, is_companion, make
from reader_studies.scores import (
    ALL,
    COLUMNS,
    between_readers,
    holm,
    mann_whitney,
    patient_means,
    read_scores,
    summary,
    with_themselves,
    write_results,
)

METHODS = ("Qaspline", "Qbtv", "Qcgan", "Qdours")
NAMES = [one.name for one in CRITERIA]


def head(seed: int) -> np.ndarray:
    x, y = np.mgrid[:40, :48] - 20
    rng = np.random.default_rng(seed)
    return ((np.hypot(x, y - 4) < 15) * (1 + 0.1 * rng.normal(size=x.shape))).astype(np.float32)[..., None]


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.nifti1.Nifti1Image(values, np.diag([2.0, 2, 5, 1]) if affine is None else affine), path)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases, four methods, one of which writes a suffix."""
    root = tmp_path_factory.mktemp("maps")
    for case in range(6):
        save(root / "truth" / f"p{case}.nii.gz", head(case))
        for place, method in enumerate(METHODS):
            save(root / method / f"p{case}{'_sr' * (method == 'Qcgan')}.nii.gz", head(case) * (1 + 0.1 * place))
    return root


@pytest.fixture(scope="module")
def page(maps: Path) -> Path:
    out = maps / "study.html"
    assert reader_study.main(command(maps, out)) == 0
    return out


def command(maps: Path, out: Path, *more: str, reference: str = "truth") -> list[str]:
    methods = [f"--method={name}={maps / name}" for name in METHODS]
    return ["make", "--reference", str(maps / reference), *methods, "--out", str(out), *more]


def export(key: Key, reader: str, scored: Any, **change: Any) -> pd.DataFrame:
    """What the page exports of a reader who scores by a function of (case, method, criterion, again)."""
    rows = []
    for (code, again), case in key.shown().items():
        for criterion in NAMES:
            value = str(scored(key.cases[case], key.maps[code][1], criterion, again))
            when = "2026-01-01T00:00:00Z"
            rows.append([key.study, reader, case, code, "yes" if again else "no", criterion, value, when])
    return pd.DataFrame(rows, columns=COLUMNS).assign(**change)


def by_chance(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return lambda case, method, criterion, again: int(rng.integers(1, 4) + METHODS.index(method) // 2)


def test_the_page_is_one_file_that_names_no_method_and_asks_for_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not [name for name in (*METHODS, "truth", "p0.nii", "%%") if name in text]
    assert not re.search(r"(src|href)=.|https?://", text)
    key = Key.read(page.with_name("study.key.json"))
    assert sorted(key.cases.values()) == [f"p{k}" for k in range(6)]
    assert len(key.maps) == 24
    assert len(key.repeated) == 1
    assert len(key.shown()) == 28
    assert set(key.maps.values()) == set(itertools.product(key.cases, METHODS))


def test_the_example_in_the_model_card_is_of_the_page_as_it_is() -> None:
    root = Path(reader_study.__file__).parent
    text = (root.parent / "bundles/mrsi_gan_super_resolution/docs/reader_study.html").read_text(encoding="utf-8")
    for name in ("page.js", "page.css"):
        assert (root / "reader_studies" / name).read_text(encoding="utf-8") in text


def test_the_same_seed_gives_the_same_page_and_another_other_codes(maps: Path, page: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "1")):
        assert reader_study.main(command(maps, tmp_path / f"{name}.html", "--seed", seed)) == 0
    assert (tmp_path / "a.html").read_bytes() == page.read_bytes()
    keys = [Key.read(tmp_path / f"{name}.key.json") for name in "ab"]
    assert not set(keys[0].maps) & set(keys[1].maps)


def test_all_maps_of_a_case_have_one_window_and_lie_as_a_radiologist_sees_them(tmp_path: Path) -> None:
    values = np.zeros((20, 24, 3), np.float32)
    values[3:17, 3:21, 1] = 1
    values[4:6, 17:19, 1] = 3  # at the patient's right, at the front
    affine = np.diag([-2.0, 2, 5, 1])  # the first axis goes to the left
    save(tmp_path / "truth" / "a.nii", values, affine)
    other = np.diag([2.0, 2, 5, 1])  # the same places, told the other way round
    other[0, 3] = -38
    save(tmp_path / "m" / "a.nii", values[::-1] * 0.5, other)
    make(str(tmp_path / "truth"), {"m": str(tmp_path / "m")}, tmp_path / "s.html")
    held = json.loads(re.search(r'application/json">(.*)</script>', (tmp_path / "s.html").read_text())[1])  # type: ignore[index]
    (case,) = held["cases"].values()

    def image(text: str) -> np.ndarray:
        levels = np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8)
        return levels.reshape(case["height"], case["width"])

    reference, shown = image(case["reference"]), image(next(iter(case["maps"].values())))
    y, x = np.unravel_index(reference.argmax(), reference.shape)
    assert reference.max() == 255
    assert y < case["height"] / 2  # the front is on top
    # in a file whose first axis goes to the left, place 4 of 20 is at the patient's right: on the picture's left
    assert x < case["width"] / 2
    assert (y, x) == np.unravel_index(shown.argmax(), shown.shape)
    middle = case["height"] // 2, case["width"] // 2
    assert abs(shown[middle] - reference[middle] / 2) <= 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "Qbtv" / "p3.nii.gz").unlink(), "holds no map of case p3 by Qbtv"),
        (lambda root: save(root / "Qbtv" / "p3.nii.gz", head(3)[:-1]), "is 39 x 48 x 1, its reference"),
        (lambda root: save(root / "Qbtv" / "p3.nii.gz", head(3), np.diag([2.0, 2, 6, 1]) + np.eye(4, k=3) * 9),
         "does not lie where its reference"),
        (lambda root: save(root / "truth" / "p3.nii.gz", 0 * head(3)), "is the same everywhere"),
        (lambda root: (root / "Qbtv" / "p3.nii.gz").write_bytes(b"no"), "cannot be read"),
        (lambda root: save(root / "Qbtv" / "p3.nii.gz", head(3) * 1j), "holds complex numbers"),
        (lambda root: [save(root / "Qcgan" / f"p3_{k}.nii", head(3)) for k in "ab"], "holds 3 maps named p3_"),
        (lambda root: shutil.rmtree(root / "truth"), "holds no .nii"),
        (lambda root: save(root / "Qbtv" / "p3.nii.gz", head(3) * np.nan), "holds NaN"),
        (lambda root: save(root / "Qbtv" / "p3.nii.gz", 0 * head(3)), "is the same everywhere its reference"),
    ],
)  # fmt: skip
def test_bad_maps_are_one_clear_line(
    maps: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Any, words: str
) -> None:
    shutil.copytree(maps, tmp_path / "maps")
    spoil(tmp_path / "maps")
    assert reader_study.main(command(tmp_path / "maps", tmp_path / "s.html")) == 1
    assert words in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]
    assert not (tmp_path / "s.html").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--method", "nothing"], "give NAME=FOLDER"),
        (["--method", f"{METHODS[0]}=x"], "is given twice"),
        (["--seed", "-1"], "give a whole number"),
        (["--slice", "3"], "has slices 0 to 0, not 3"),
        (["--slice", "px=0"], "is no case"),
        (["--slice", "p0=x"], "give K, or CASE=K"),
        (["--title", "Is qbtv good?"], "names the method Qbtv"),
    ],
)
def test_bad_options_are_one_clear_line(
    maps: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, more: list[str], words: str
) -> None:
    assert reader_study.main(command(maps, tmp_path / "s.html", *more)) == 1
    assert words in caplog.messages[-1]


def test_patterns_and_metabolites(tmp_path: Path) -> None:
    both = np.stack([head(0), head(1)], -1)
    save(tmp_path / "a_truth.nii.gz", both)
    save(tmp_path / "out" / "a_sr.nii.gz", both)
    reference, made = str(tmp_path / "{case}_truth.nii.gz"), str(tmp_path / "out" / "{case}_sr.nii.gz")
    key = make(reference, {"m": made}, tmp_path / "s.html")
    assert sorted(key.cases.values()) == ["a, metabolite 1", "a, metabolite 2"]
    with pytest.raises(InputError, match="is missing"):
        make(reference, {"m": str(tmp_path / "{case}_no.nii.gz")}, tmp_path / "s.html")


def test_a_pattern_may_stand_for_a_folder(tmp_path: Path) -> None:
    for name in ("s1", "s2"):
        save(tmp_path / name / "truth.nii.gz", head(0))
        save(tmp_path / name / "out" / f"{name}.nii.gz", head(1))
    save(tmp_path / "s3" / "other.nii.gz", head(0))
    key = make(
        f"{tmp_path}/{{case}}/truth.nii.gz", {"m": f"{tmp_path}/{{case}}/out/{{case}}.nii.gz"}, tmp_path / "s.html"
    )
    assert sorted(key.cases.values()) == ["s1", "s2"]


def test_what_readers_were_sent_stays_readable(maps: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "s.html"
    assert reader_study.main(command(maps, out)) == 0
    before = out.with_name("s.key.json").read_text()
    assert reader_study.main(command(maps, out, "--seed", "1")) == 1
    assert "is the key of another study" in caplog.messages[-1]
    assert out.with_name("s.key.json").read_text() == before
    assert reader_study.main(command(maps, out)) == 0


def test_maps_on_one_grid_told_otherwise_are_taken_and_stretched_ones_are_not(tmp_path: Path) -> None:
    values = np.repeat(head(0), 3, 2) * np.array([1, 2, 3], np.float32)
    save(tmp_path / "truth" / "c.nii", values, np.diag([-2.0, -2, 5, 1]))
    turned = np.diag([-2.0, -2, -5, 1])
    turned[2, 3] = 10
    save(tmp_path / "m" / "c.nii", values[:, :, ::-1], turned)
    (case,) = _read(("c", tmp_path / "truth" / "c.nii"), ["c"], {"m": str(tmp_path / "m")}, 0)
    np.testing.assert_array_equal(case.maps["m"], case.reference)
    save(tmp_path / "m" / "c.nii", values, np.diag([-2.15, -2.15, 5, 1]))
    with pytest.raises(InputError, match="does not lie where"):
        make(str(tmp_path / "truth"), {"m": str(tmp_path / "m")}, tmp_path / "s.html")


def test_metabolites_of_a_patient_are_no_two_patients(tmp_path: Path) -> None:
    for name in "ab":
        both = np.stack([head(0), head(1)], -1)
        save(tmp_path / "truth" / f"{name}.nii", both)
        for method in "xy":
            save(tmp_path / method / f"{name}.nii", both)
    methods = {method: str(tmp_path / method) for method in "xy"}
    key = make(str(tmp_path / "truth"), methods, tmp_path / "s.html")
    given = export(key, "r", lambda case, method, criterion, again: 1 + 2 * (case[0] == "b") + (case[-1] == "2"))
    given.to_csv(tmp_path / "r.csv", index=False)
    rows = summary(read_scores([tmp_path / "r.csv"], key), "x").set_index(["criterion", "method"])
    assert set(rows["patients"]) == {2}
    assert rows.loc[(NAMES[2], "y"), "mean"] == 2.5


def test_no_case_takes_the_map_of_another(tmp_path: Path) -> None:
    for name in ("patient", "patient_2"):
        save(tmp_path / "truth" / f"{name}.nii.gz", head(0))
    save(tmp_path / "m" / "patient_2_sr.nii.gz", head(0))
    with pytest.raises(InputError, match="holds no map of case patient by m"):
        make(str(tmp_path / "truth"), {"m": str(tmp_path / "m")}, tmp_path / "s.html")
    save(tmp_path / "m" / "patient_sr.nii.gz", head(0))
    make(str(tmp_path / "truth"), {"m": str(tmp_path / "m")}, tmp_path / "s.html")


def test_what_lies_beside_the_references_is_no_reference(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("p1", "p2"):
        save(tmp_path / "truth" / f"{name}.nii.gz", head(0))
        for beside in ("crlb", "flair", "brain", "uncertainty", "desc-brainmask", "T1w", "NAA_sd"):
            save(tmp_path / "truth" / f"{name}_{beside}.nii.gz", head(1))
        save(tmp_path / "m" / f"{name}_sr.nii.gz", head(2))
        save(tmp_path / "m" / f"{name}_uncertainty.nii.gz", head(3))
    save(tmp_path / "truth" / "brain.nii.gz", head(1))
    methods = {"m": str(tmp_path / "m")}
    for reference in ("truth", "truth/{case}.nii.gz"):
        caplog.clear()
        key = make(str(tmp_path / reference), methods, tmp_path / "s.html")
        assert sorted(key.cases.values()) == ["p1", "p2"]
        (said,) = [text for text in caplog.messages if "left out" in text]
        assert all(name in said for name in ("brain.nii.gz", "p1_crlb.nii.gz", "p2_T1w.nii.gz"))
        assert "p1.nii.gz" not in said
    # an uncertainty alone is not the map of its case
    (tmp_path / "m" / "p2_sr.nii.gz").unlink()
    with pytest.raises(InputError, match="holds no map of case p2 by m"):
        make(str(tmp_path / "truth"), methods, tmp_path / "t.html")
    # a pattern that names them means them
    bounds, map_ = (str(tmp_path / "truth" / f"{{case}}{ending}.nii.gz") for ending in ("_crlb", ""))
    assert sorted(make(bounds, {"m": map_}, tmp_path / "u.html").cases.values()) == ["p1", "p2"]
    for name in ("p1", "p2"):
        (tmp_path / "truth" / f"{name}.nii.gz").unlink()
    with pytest.raises(InputError, match="holds no reference map"):
        make(str(tmp_path / "truth"), methods, tmp_path / "v.html")


def test_the_companions_of_every_bundle_are_no_references() -> None:
    bundles = Path(reader_study.__file__).parents[1] / "bundles"
    for path in bundles.glob("*/configs/inference.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        named = [config.get("companions"), config["inputs"].get("companions"), config["inputs"].get("ignored")]
        for suffix in itertools.chain(*(names for names in named if isinstance(names, dict | list))):
            assert is_companion(f"p1_{suffix}"), suffix


def test_a_mask_is_no_reference(tmp_path: Path) -> None:
    save(tmp_path / "truth" / "p1.nii.gz", (head(0) > 0).astype(np.float32))
    save(tmp_path / "m" / "p1.nii.gz", head(2))
    with pytest.raises(InputError, match="p1.nii.gz: holds 0 and 1 alone, as a mask"):
        make(str(tmp_path / "truth"), {"m": str(tmp_path / "m")}, tmp_path / "s.html")


def test_codes_of_one_study_tell_nothing_of_another(tmp_path: Path) -> None:
    keys = []
    for place in range(2):
        root = tmp_path / str(place)
        for case in range(3):
            save(root / "truth" / f"{case}.nii.gz", head(case))
            for method in "ab":
                save(root / method / f"{case}.nii.gz", head(10 * place + case))
        keys.append(make(str(root / "truth"), {m: str(root / m) for m in "ab"}, root / "s.html"))
    assert not set(keys[0].maps) & set(keys[1].maps)


@pytest.mark.parametrize(
    ("affine", "axes", "left"),
    [
        (np.diag([2.0, 2, -5, 1]), "head last, from above", "R"),
        (np.array([[2.0, 0, 0, 0], [0, 0, 5, 0], [0, 2, 0, 0], [0, 0, 0, 1]]), "coronal", "R"),
        (np.array([[0.0, 0, 5, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]]), "sagittal", "A"),
    ],
)
def test_slices_are_those_of_the_file_whatever_their_plane(
    tmp_path: Path, affine: np.ndarray, axes: str, left: str
) -> None:
    values = np.zeros((20, 24, 5), np.float32)
    values[4:16, 4:20] = np.arange(1, 6) + np.random.default_rng(0).normal(0, 0.01, (12, 16, 1))
    values[5:7, 17:19, 1] = 9  # low on the first axis, high on the second
    for folder in ("truth", "m"):
        save(tmp_path / folder / "c.nii", values, affine)
    methods = {"m": str(tmp_path / "m")}
    (case,) = _read(("c", tmp_path / "truth" / "c.nii"), ["c"], methods, 1)
    assert case.left == left
    assert case.reference.max() == 9
    x, y = np.unravel_index(case.reference.argmax(), case.reference.shape)
    # the first axis goes to the patient's right or to the front: its beginning is at the picture's right; the second up
    assert x > 10
    assert y < 12


def test_means_tests_and_agreement_are_those_of_the_libraries(page: Path, tmp_path: Path) -> None:
    key = Key.read(page.with_name("study.key.json"))
    tables = {}
    for place, name in enumerate("abc"):
        tables[name] = export(key, name, by_chance(place))
        tables[name].to_csv(tmp_path / f"{name}.csv", index=False)
    scores = read_scores([tmp_path / f"{name}.csv" for name in tables], key)
    assert len(scores) == 3 * 28 * 4
    rows = summary(scores, METHODS[0]).set_index(["criterion", "method"])

    # by hand, from the coded tables
    def mean_by_case(method: str, criterion: str | None) -> np.ndarray:
        values = {case: [] for case in key.cases}
        for table in tables.values():
            for row in table[table["again"] == "no"].itertuples():
                if key.maps[row.map][1] == method and criterion in (None, row.criterion):
                    values[row.case].append(int(row.score))
        return np.array([np.mean(values[case]) for case in sorted(values, key=key.cases.get)])

    p = []
    for criterion in (*NAMES, None):
        for method in METHODS:
            row = rows.loc[(criterion or ALL, method)]
            own, other = mean_by_case(method, criterion), mean_by_case(METHODS[0], criterion)
            assert row["mean"] == pytest.approx(own.mean())
            assert row["low"] <= row["mean"] <= row["high"]
            if method != METHODS[0]:
                u, value = stats.mannwhitneyu(own, other, method=stats.PermutationMethod())
                assert (row["U"], row["p"]) == (pytest.approx(u), pytest.approx(value))
                p.append(value)
    # Holm's by its definition: the k-th smallest of n is multiplied by n - k, and never falls
    order = np.argsort(p)
    wanted, largest = np.empty(len(p)), 0.0
    for k, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - k) * p[place]))
        wanted[place] = largest
    np.testing.assert_allclose(rows["p_holm"].dropna(), wanted)
    assert len(patient_means(scores)) == 6 * 4 * 5

    first = [table[(table["again"] == "no") & (table["criterion"] == NAMES[2])] for table in tables.values()]
    table = np.array([t.sort_values("map")["score"].astype(float) for t in first])
    agreement = between_readers(scores).set_index("criterion")["alpha"]
    assert agreement[NAMES[2]] == pytest.approx(krippendorff.alpha(table, level_of_measurement="ordinal"))


def test_few_tied_scores_are_tested_exactly_and_many_as_scipy_does() -> None:
    # three against three, wholly apart: 2 of 20 ways are as far apart
    assert mann_whitney(np.array([1.0, 1, 2]), np.array([3.0, 3, 3])) == (0.0, pytest.approx(0.1))
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 6, (2, 40)).astype(float)
    assert mann_whitney(a, b)[1] == pytest.approx(stats.mannwhitneyu(a, b).pvalue)


def test_readers_who_share_no_map_do_not_agree_nor_disagree(page: Path, tmp_path: Path) -> None:
    key = Key.read(page.with_name("study.key.json"))
    half = len(key.shown()) * 2
    for name, rows in (("a", slice(0, half)), ("b", slice(half, None))):
        export(key, name, by_chance(0))[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    scores = read_scores([tmp_path / "a.csv", tmp_path / "b.csv"], key)
    assert np.isnan(between_readers(scores)["alpha"]).all()


def test_holms_correction_of_known_numbers() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005, np.nan]), [0.03, 0.06, 0.06, 0.02, np.nan])


def test_a_reader_is_held_against_himself_and_absent_tumours_count_nowhere(page: Path, tmp_path: Path) -> None:
    key = Key.read(page.with_name("study.key.json"))
    given = export(key, "a", lambda case, method, criterion, again: "none" if "tumour" in criterion else 3 + again)
    given.to_csv(tmp_path / "a.csv", index=False)
    scores = read_scores([tmp_path / "a.csv"], key)
    (row,) = with_themselves(scores).to_dict("records")
    assert (row["pairs"], row["same"], row["within 1"]) == (8, 0, 1)
    rows = summary(scores, METHODS[1]).set_index(["criterion", "method"])
    assert rows.loc[(NAMES[0], METHODS[0]), "patients"] == 0
    assert rows.loc[(ALL, METHODS[0]), "mean"] == 3
    assert np.isnan(between_readers(scores)["alpha"]).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_scores_that_a_spreadsheet_saved_again_are_the_same(
    page: Path, tmp_path: Path, mark: str, encoding: str
) -> None:
    key = Key.read(page.with_name("study.key.json"))
    given = export(key, "Jörg; B., \u00e9", by_chance(0))
    given.to_csv(tmp_path / "a.csv", index=False)
    given.to_csv(tmp_path / "again.csv", index=False, sep=mark, encoding=encoding, lineterminator="\r\n")
    as_exported, again = (read_scores([tmp_path / name], key) for name in ("a.csv", "again.csv"))
    pd.testing.assert_frame_equal(again, as_exported)


def test_a_bar_in_a_name_splits_no_table(tmp_path: Path) -> None:
    for case in "abc":
        for folder in ("truth", "m", "n"):
            save(tmp_path / folder / f"{case}.nii", head(ord(case)))
    key = make(str(tmp_path / "truth"), {"m|1": str(tmp_path / "m"), "n": str(tmp_path / "n")}, tmp_path / "s.html")
    export(key, "r|2", lambda case, method, criterion, again: 3).to_csv(tmp_path / "r.csv", index=False)
    text = write_results(read_scores([tmp_path / "r.csv"], key), "n", tmp_path / "out")
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"study": "0123456789abcdef"}, "is of study 0123456789abcdef"),
        ({"map": "map-zzzzz"}, "line 2 is not of this study"),
        ({"score": "6"}, "line 2 is not of this study"),
        ({"score": "12"}, "line 2 is not of this study"),
        ({"score": ""}, "line 2 is not of this study"),
        ({"score": "none"}, "line 4 is not of this study"),
        ({"again": "yes"}, "is not of this study"),
        ({"again": "maybe"}, "line 2 is not of this study"),
        ({"criterion": NAMES[0]}, "a second time"),
        ({"more": "1"}, "is no export"),
        ({"score": ["none", "1", "1", "1"]}, "there is a tumour and that there is none"),
    ],
)
def test_bad_scores_are_one_clear_line(
    page: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: dict[str, Any], words: str
) -> None:
    key = Key.read(page.with_name("study.key.json"))
    path = tmp_path / "a.csv"
    given = export(key, "a", by_chance(0))
    spoil = {k: np.resize(v, len(given)) if isinstance(v, list) else v for k, v in spoil.items()}
    given.assign(**spoil).to_csv(path, index=False)
    arguments = ["--key", str(page.with_name("study.key.json")), "--out", str(tmp_path / "out")]
    assert reader_study.main(["score", str(path), *arguments]) == 1
    assert words in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


def test_what_else_can_be_wrong_with_scores(page: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = page.with_name("study.key.json")
    key, path = Key.read(known), tmp_path / "a.csv"
    table = export(key, "a", by_chance(0))
    table.to_csv(path, index=False)
    edited = tmp_path / "edited.json"
    edited.write_text(known.read_text().replace(METHODS[0], "other"))
    (tmp_path / "no.json").write_text("{}")
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps({**json.loads(known.read_text()), "cases": 3}))
    (tmp_path / "no.csv").write_bytes(b"\xff\xfe\x00\x01")
    pd.concat([table, table.assign(reader="b")]).to_csv(tmp_path / "two.csv", index=False)

    def said(*csvs: Path, key: Path = known, more: tuple[str, ...] = ()) -> str:
        arguments = ["score", *map(str, csvs), "--key", str(key), "--out", str(tmp_path / "out"), *more]
        assert reader_study.main(arguments) == 1
        return caplog.messages[-1]

    assert "was changed after it was written" in said(path, key=edited)
    assert "is no key" in said(path, key=tmp_path / "no.json")
    assert "is no key" in said(path, key=odd)
    assert "cannot be read" in said(path, key=tmp_path / "missing.json")
    assert "is of reader a, as" in said(path, path)
    assert "is of 2 readers" in said(tmp_path / "two.csv")
    assert "is no CSV" in said(tmp_path / "no.csv")
    assert "cannot be read" in said(tmp_path / "missing.csv")
    assert "is none of Qaspline" in said(path, more=("--against", "nobody"))
    caplog.clear()
    table[:20].to_csv(path, index=False)
    assert reader_study.main(["score", str(path), "--key", str(known), "--out", str(tmp_path / "out")]) == 0
    assert any("gave 20 of 112 scores" in text for text in caplog.messages)


# ---- in a real browser


def by(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def typed(browser: Any, keys: str) -> None:
    for letter in keys:
        browser.switch_to.active_element.send_keys(letter)


def wanted_score(place: int, k: int) -> str:
    """Of criterion k at the place-th map: any that differ; the third case, places 8 to 11, has no tumour."""
    return "0" if k < 2 and place // 4 == 2 else str(1 + (3 * place + 2 * k + place // 5) % 5)


def test_a_whole_study_is_read_reloaded_exported_and_scored(browser: Any, page: Path, tmp_path: Path) -> None:
    key = Key.read(page.with_name("study.key.json"))
    browser.get(page.as_uri())
    typed(browser, "\t")  # the whole study by keyboard: the first stop is the reader's name
    assert browser.switch_to.active_element.get_attribute("id") == "name"
    typed(browser, 'A. O\'Reader, "MD"\n')
    total = len(key.shown())
    given: dict[tuple[str, bool], dict[str, str]] = {}
    for place in range(total):
        assert by(browser, "#place").text == f"Map {place + 1} of {total}"
        keys = [wanted_score(place, k) for k in range(4)]
        if place == 7:  # with the mouse, and another colour map
            for k, value in enumerate(keys):
                chosen = f"fieldset:nth-of-type({k + 1}) input[value='{'none' if value == '0' else value}']"
                browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", by(browser, chosen))
                browser.find_element("xpath", f"(//fieldset)[{k + 1}]//label[normalize-space()='{value}']").click()
            by(browser, "#colours").send_keys("hot")
        else:
            typed(browser, "".join(keys))
        if place == 11:  # the window is closed in the middle of a map and opened again
            browser.get("about:blank")
            browser.get(page.as_uri())
            (again,) = browser.find_elements("css selector", "#readers button")
            assert again.text == 'A. O\'Reader, "MD" (48 scores)'
            again.click()
            assert by(browser, "#place").text == f"Map 12 of {total}"
            checked = browser.find_elements("css selector", "fieldset input:checked")
            assert [one.get_attribute("value").replace("none", "0") for one in checked] == keys
            assert by(browser, "#colours").get_attribute("value") == "hot"
        step = browser.execute_script("const step = steps[at]; return [step.map, step.again]")
        given[(step[0], step[1])] = dict(zip(NAMES, (k.replace("0", "none") for k in keys), strict=True))
        if place == 3:  # back and forward
            by(browser, "#before").click()
            assert by(browser, "#place").text == "Map 3 of 28"
            by(browser, "#next").click()
        if place % 2 and place != 7:
            typed(browser, "\n")
        else:
            by(browser, "#next").click()
    assert "All scores are given" in by(browser, "#done").text
    assert len(given) == total
    assert set(given) == set(key.shown())
    typed(browser, "\n")  # the button has the focus
    for _ in range(100):
        found = list(tmp_path.glob("scores_*.csv"))
        if found:
            break
        time.sleep(0.05)
    scores = read_scores(found, key)
    assert len(scores) == total * 4
    for (code, again), values in given.items():
        case, method = key.maps[code]
        rows = scores[(scores["case"] == key.cases[case]) & (scores["method"] == method) & (scores["again"] == again)]
        assert dict(zip(rows["criterion"], rows["score"].fillna(0).astype(int).astype(str), strict=True)) == {
            name: value.replace("none", "0") for name, value in values.items()
        }
    out = tmp_path / "results"
    arguments = ["score", str(found[0]), "--key", str(page.with_name("study.key.json")), "--out", str(out)]
    assert reader_study.main([*arguments, "--against", METHODS[1]]) == 0
    table = pd.read_csv(out / "summary.csv").set_index(["criterion", "method"])["mean"]
    for method in METHODS:
        own = [int(v[NAMES[3]]) for (code, again), v in given.items() if not again and key.maps[code][1] == method]
        assert table[(NAMES[3], method)] == pytest.approx(np.mean(own))
    assert (out / "scores.png").stat().st_size > 10_000
    assert METHODS[1] in (out / "table.md").read_text()


def test_readers_share_a_machine_and_files_come_back(browser: Any, page: Path, tmp_path: Path) -> None:
    key = Key.read(page.with_name("study.key.json"))
    browser.get(page.as_uri())
    by(browser, "#name").send_keys("one\n")
    typed(browser, "12")
    order = browser.execute_script("return steps.map((s) => s.map)")
    by(browser, "#change").click()
    by(browser, "#name").send_keys("two\n")
    assert by(browser, "#given").text == "0 of 112 scores given"
    assert browser.execute_script("return steps.map((s) => s.map)") != order
    by(browser, "#change").click()
    path = tmp_path / "three.csv"
    export(key, "three", by_chance(3)).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    by(browser, "#import").send_keys(str(path))
    for text in ("one (2 scores)", "three (112 scores)", "two (0 scores)"):
        assert by(browser, f"#readers li:nth-child({['one', 'three', 'two'].index(text.split()[0]) + 1})").text == text
    export(key, "four", by_chance(3), study="0123456789abcdef").to_csv(path, index=False)
    by(browser, "#import").send_keys(str(path))
    assert by(browser, "#trouble").text == "three.csv: it is of another study."
    path.write_text("nonsense")
    by(browser, "#import").send_keys(str(path))
    assert by(browser, "#trouble").text == "three.csv: it is no export of a reader study."
    # what is newer stays, and blank lines are none
    older = export(key, "one", by_chance(4))
    path.write_text(older.to_csv(index=False) + "\n\n")
    before = browser.execute_script("return load('one').scores")
    by(browser, "#import").send_keys(str(path))
    assert by(browser, "#imported").text == "110 scores of one were taken in, 2 were older than those here."
    after = browser.execute_script("return load('one').scores")
    for code, scores in before.items():
        for criterion, score in scores.items():
            assert after[code][criterion] == score
    # a second reader of one name is sent to the first one's
    by(browser, "#name").send_keys("one\n")
    assert "reads here already" in by(browser, "#trouble").text
    # what comes back is what was given
    text = browser.execute_script("return exported('three')")
    again = pd.read_csv(io.StringIO(text), dtype=str).sort_values(["map", "again", "criterion"])
    wanted = export(key, "three", by_chance(3))
    pd.testing.assert_frame_equal(
        again.reset_index(drop=True), wanted.sort_values(["map", "again", "criterion"]).reset_index(drop=True)
    )


def test_full_storage_loses_nothing_that_can_be_exported(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    by(browser, "#name").send_keys("one\n")
    typed(browser, "1")
    browser.execute_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    typed(browser, "234")
    assert "keeps nothing" in by(browser, "#trouble").text
    rows = browser.execute_script("return exported('one')").strip().split("\r\n")
    assert [row.split(",")[6] for row in rows[1:]] == list("1234")


def test_no_tumour_is_said_of_a_case_and_taken_back(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    by(browser, "#name").send_keys("one\n")
    typed(browser, "0")
    assert by(browser, "#given").text == "8 of 112 scores given"
    by(browser, "#next").click()
    assert by(browser, "fieldset input:checked").get_attribute("value") == "none"
    typed(browser, "2")
    assert by(browser, "#given").text == "1 of 112 scores given"
    # wherever the focus is
    by(browser, "#view").send_keys("3")
    assert by(browser, "#given").text == "2 of 112 scores given"


def test_the_maps_are_drawn_and_zoomed_together(browser: Any, page: Path) -> None:
    browser.get(page.as_uri())
    by(browser, "#name").send_keys("one\n")
    pixels = """const done = arguments[0];
        const of = (c) => {
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            let [sum, red] = [0, 0];
            for (let k = 0; k < d.length; k += 4) { sum += d[k] + d[k + 1] + d[k + 2]; red += d[k]; }
            return [c.width, sum / d.length, red / Math.max(1, sum)];
        };
        setTimeout(() => done([...document.querySelectorAll('canvas')].map(of)), 400);"""
    reference, shown = browser.execute_async_script(pixels)
    assert reference[1] > 5
    assert shown[1] > 5
    view = by(browser, "#view")
    view.send_keys("+++")
    view.send_keys("\ue014")  # right
    assert browser.execute_script("return view.zoom") == pytest.approx(1.25**3)
    assert browser.execute_script("return view.x") > 0.5
    closer = browser.execute_async_script(pixels)
    assert closer[0][1] > 1.3 * reference[1]
    assert closer[1][1] > 1.3 * shown[1]
    by(browser, "#all").click()
    # the four maps of a case have 1 to 1.3 times its reference's values
    seen = set()
    for _ in range(4):
        seen.add(round(browser.execute_async_script(pixels)[1][1], 2))
        by(browser, "#next").click()
    assert len(seen) == 4
    by(browser, "#colours").send_keys("hot")
    assert browser.execute_async_script(pixels)[1][2] > 1.05 * shown[2]  # hot begins with red


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_runs_over_the_edge(browser: Any, page: Path, width: int) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    measure = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(measure) == 0
    by(browser, "#name").send_keys("one\n")
    assert browser.execute_script(measure) == 0


@pytest.mark.slow
def test_axe_finds_no_serious_fault(browser: Any, page: Path, tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("needs npm, for axe-core")
    subprocess.run(["npm", "install", "--silent", "--prefix", str(tmp_path), "axe-core@4"], check=True)
    axe = (tmp_path / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    for width in (390, 1280):
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for name in ("", "one\n"):
            browser.get(page.as_uri())
            if name:
                by(browser, "#name").send_keys(name)
            browser.execute_script(axe)
            found = browser.execute_async_script("axe.run().then(arguments[0])")
            assert len(found["passes"]) > 10
            serious = [f"{v['id']}: {v['nodes'][0]['html']}" for v in found["violations"]]
            assert not serious
