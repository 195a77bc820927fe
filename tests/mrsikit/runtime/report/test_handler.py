import hashlib
import json
import logging

import nibabel as nib
import numpy as np
import pytest

from mrsikit.runtime.report import handler, run_evaluator


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_input_gets_its_record(make_run, tmp_path):
    inputs, evaluator = make_run()
    run_evaluator(evaluator)
    assert inputs.release()
    assert len(names(tmp_path / "out")) == 9
    record = json.loads((tmp_path / "out" / "b.json").read_text())
    assert record["bundle"] == {"name": "toy", "version": "0.1"}
    assert record["flags"] == ["matrix below the trained 16"]
    assert record["summary"] == {"holes": 17, "mean": pytest.approx(1.29, abs=0.2), "nothing": None}
    assert record["parameters"] == {"max_crlb": 20}
    assert record["inputs"]["missing"] == {
        "file": "b_missing.nii.gz",
        "sha256": hashlib.sha256((tmp_path / "maps" / "b_missing.nii.gz").read_bytes()).hexdigest(),
    }
    assert nib.load(tmp_path / "out" / "c <&>_inpainted.nii.gz").shape == (16, 16, 3, 2)
    assert inputs.datalist() == []


def test_a_run_that_died_goes_on_where_it_was(make_run, tmp_path):
    inputs, evaluator = make_run(break_at="/b.nii.gz")
    with pytest.raises(RuntimeError, match="applying transform"):
        run_evaluator(evaluator)
    assert "a.json" in names(tmp_path / "out")
    assert "b_inpainted.nii.gz" in names(tmp_path / "out")  # written before the death
    assert "b.json" not in names(tmp_path / "out")
    before = (tmp_path / "out" / "a_inpainted.nii.gz").stat().st_mtime_ns
    inputs, evaluator = make_run()
    assert len(inputs.datalist()) == 2
    run_evaluator(evaluator)
    assert inputs.datalist() == []
    assert (tmp_path / "out" / "a_inpainted.nii.gz").stat().st_mtime_ns == before


def test_overwrite_that_died_does_not_vouch_for_old_outputs(make_run, tmp_path):
    run_evaluator(make_run()[1])
    with pytest.raises(RuntimeError, match="applying transform"):
        run_evaluator(make_run(break_at="/b.nii.gz", overwrite=True)[1])
    assert [name for name in names(tmp_path / "out") if name.endswith(".json")] == ["a.json"]


def test_nothing_to_do(make_run, caplog):
    run_evaluator(make_run()[1])
    with caplog.at_level(logging.INFO):
        run_evaluator(make_run()[1])
    assert "nothing to do" in caplog.text
    np.testing.assert_equal(make_run()[1].state.epoch_length, 0)


def test_a_done_input_that_would_now_come_out_otherwise_is_named(make_run, tmp_path, caplog):
    run_evaluator(make_run()[1])
    make_run()
    assert "done before with other" not in caplog.text
    path = tmp_path / "maps" / "b.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(2 * np.asarray(image.dataobj), image.affine), path)
    make_run()
    assert "b.nii.gz: was done before with other inputs" in caplog.text
    assert "a.nii.gz: was done before" not in caplog.text


def test_the_log_names_first_what_the_user_can_give(make_run, caplog, monkeypatch):
    monkeypatch.setattr(handler, "header_warnings", lambda _: ["give a position"])
    run_evaluator(make_run()[1])
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    of_map, of_mask, last = [line for line in logged if line.startswith("b.nii.gz: ")]
    assert {line[-len("give a position") :] for line in (of_map, of_mask)} == {"give a position"}
    assert last == "b.nii.gz: matrix below the trained 16"
