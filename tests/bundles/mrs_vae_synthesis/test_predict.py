import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mrs_vae_synthesis import predict
from mrsikit.io import InputError, read_fids

Command = Callable[..., subprocess.CompletedProcess]


def test_the_call_gives_what_the_command_gives(folder: Path, command: Command, tmp_path: Path) -> None:
    done = command(dataset_dir=folder, output_dir=tmp_path, sampling="hybrid", number=6, seed=9)
    assert done.returncode == 0, done.stdout + done.stderr
    stored, measured = read_fids(tmp_path / "one_synthetic.nii.gz"), read_fids(folder / "one.nii.gz")
    found = predict(
        measured.values[0, 0, 0], dwell=measured.dwell, larmor=measured.larmor, sampling="hybrid", number=6, seed=9
    )
    np.testing.assert_allclose(found.fids, stored.values[0, 0, 0], rtol=1e-3, atol=0.02)
    assert found.flags == []


def test_the_call_from_nothing() -> None:
    one, again, other = (predict(number=4, seed=seed).fids for seed in (1, 1, 2))
    assert one.shape == (2048, 2, 2)
    assert np.array_equal(one, again)
    assert np.abs(one - other).max() > 1
    clean = predict(number=4, seed=1, noise=False).fids
    left = torch.from_numpy(one - clean)
    assert left.abs().std() > 0.1
    assert predict(number=3, condition="on").fids.shape == (2048, 3)
    assert predict(number=640).fids.shape == (2048, 320, 2)
    assert predict().fids.shape == (2048, 16, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": "hybrid"}, "all others do"),
        ({"fids": np.zeros((8, 2))}, "must be complex"),
        ({"fids": np.ones((2048, 4, 2), complex)}, "dwell is not given"),
        ({"fids": np.ones((2048, 4, 2), complex), "dwell": 0.001, "larmor": 127.73}, "bandwidth"),
        ({"condition": "none"}, "--condition none"),
    ],
)
def test_the_call_refuses_what_the_command_refuses(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        predict(**options)  # type: ignore[arg-type]


def test_measured_fids_of_another_scanner_and_sign(folder: Path) -> None:
    """What is made of 123.25 MHz is of 123.25 MHz, with the chemical shifts of the measured."""
    measured = read_fids(folder / "one.nii.gz")
    known = {"dwell": measured.dwell * 127.73 / 123.25, "larmor": 123.25}
    given = measured.values[0, 0, 0]  # the same FIDs, as such a scanner of a longer dwell time has them
    plain = predict(given, dwell=measured.dwell, larmor=127.73, sampling="reconstruct", noise=False)
    other = predict(given, **known, sampling="reconstruct", noise=False)
    assert (other.larmor, other.dwell) == pytest.approx((123.25, known["dwell"]))
    np.testing.assert_allclose(other.fids, plain.fids, atol=1e-3 * np.abs(plain.fids).max())
    assert "123.25 MHz" in " ".join(other.flags)
    mirrored = predict(given.conj(), dwell=measured.dwell, larmor=127.73, sampling="reconstruct", noise=False)
    np.testing.assert_allclose(mirrored.fids, plain.fids, atol=1e-3 * np.abs(plain.fids).max())
    assert "they were conjugated" in " ".join(mirrored.flags)
    with pytest.raises(InputError, match="no lines where the network knows them"):
        predict(given.conj(), dwell=measured.dwell, larmor=127.73, sign="standard")
