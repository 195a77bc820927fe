import hashlib
import json
import logging

import numpy as np
import torch

from mrsikit.runtime.provenance import jsonable, provenance, sha256, shipped_weights


def test_provenance_is_strict_json_with_names_hashes_and_order(tmp_path):
    for name in ("model.pt", "a.nii", "a_missing.nii"):
        (tmp_path / name).write_bytes(name.encode())
    record = provenance(
        "toy",
        "1.2.0",
        tmp_path / "model.pt",
        {"max_crlb": np.float32(20), "nan": float("nan"), "path": tmp_path, "t": torch.tensor([1, 2])},
        ["matrix 200 is above the trained 128"],
        {"image": tmp_path / "a.nii", "missing": tmp_path / "a_missing.nii"},
    )
    assert list(record) == ["mrsikit", "bundle", "weights", "inputs", "parameters", "flags", "time"]
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["weights"] == {"model.pt": hashlib.sha256(b"model.pt").hexdigest()}
    assert record["inputs"]["missing"] == {
        "file": "a_missing.nii",
        "sha256": hashlib.sha256(b"a_missing.nii").hexdigest(),
    }
    assert record["parameters"] == {"max_crlb": 20.0, "nan": None, "path": str(tmp_path), "t": [1, 2]}
    assert record["bundle"] == {"name": "toy", "version": "1.2.0"}


def test_several_weights_or_none(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"a")
    (tmp_path / "b.pt").write_bytes(b"b")
    assert provenance("toy", "1", None, {}, [], {})["weights"] == {}
    assert list(provenance("toy", "1", [tmp_path / "a.pt", tmp_path / "b.pt"], {}, [], {})["weights"]) == [
        "a.pt",
        "b.pt",
    ]


def test_the_hash_of_a_folder_is_that_of_all_files_in_it(tmp_path):
    (tmp_path / "series" / "inner").mkdir(parents=True)
    before = sha256(tmp_path / "series")
    (tmp_path / "series" / "inner" / "1.dcm").write_bytes(b"1")
    assert sha256(tmp_path / "series") != before


def test_shipped_weights(tmp_path, caplog):
    (tmp_path / "model.pt").write_bytes(b"weights")
    good = {"weights_sha256": {"model.pt": hashlib.sha256(b"weights").hexdigest()}}
    (tmp_path / "metadata.json").write_text(json.dumps(good))
    with caplog.at_level(logging.WARNING):
        assert shipped_weights(tmp_path / "model.pt", good)
        assert shipped_weights(tmp_path / "model.pt", tmp_path / "metadata.json")
        assert not caplog.records
        (tmp_path / "model.pt").write_bytes(b"retrained")
        assert not shipped_weights(tmp_path / "model.pt", good)
        assert not shipped_weights(tmp_path / "model.pt", {})
    assert "not the shipped weights" in caplog.text


def test_jsonable_of_scalars():
    assert jsonable((np.int64(3), True, None, float("inf"), {1: "a"})) == [3, True, None, None, {"1": "a"}]
