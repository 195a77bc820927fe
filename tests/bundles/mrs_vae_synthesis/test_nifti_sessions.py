from pathlib import Path

import pytest
import torch

from mrs_vae_synthesis.nifti_sessions import measured_sessions, read_session, resampled
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import InputError, write_fids
from mrsikit.physics.spectra import noise_sd

from .conftest import as_fids, spoilt


def test_on_alone_is_read_as_on(unseen: Sessions, tmp_path: Path) -> None:
    write_fids(tmp_path / "on.nii.gz", spoilt(unseen, "on alone"))  # type: ignore[arg-type]
    assert read_session(tmp_path / "on.nii.gz").on.all()


def test_sessions_of_several_bandwidths_are_resampled_to_the_narrowest(unseen: Sessions, tmp_path: Path) -> None:
    finer = simulated_sessions(1, seed=99, transients=16, points=5120, dwell=0.0002)
    other = as_fids(finer, 0, reference=finer.reference + 0.1)
    write_fids(tmp_path / "a.nii.gz", other)
    write_fids(tmp_path / "b.nii.gz", as_fids(unseen, 1))
    found = measured_sessions([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"])
    assert found.dwell == pytest.approx(unseen.dwell)
    assert found.fids.shape == (2, 16, 2048)
    assert found.reference == other.reference
    assert finer.clean is not None
    known = torch.fft.fft(finer.clean[0, 0], norm="forward")
    again = torch.fft.fft(resampled(finer.clean[0, 0], finer.dwell, unseen.dwell), norm="forward")
    points = torch.arange(-600, 600)  # of 1.024 s, both
    torch.testing.assert_close(again[points], known[points], rtol=0, atol=5e-3 * float(known.abs().max()))
    # near ratios too, and what rings does not pass for noise
    near = finer.dwell * 500 / 499

    def tallest(fid: torch.Tensor, dwell: float) -> float:
        return float(torch.fft.fftfreq(2**17, dwell)[torch.fft.fft(fid, n=2**17).abs().argmax()])

    assert tallest(resampled(finer.fids[0, 0], finer.dwell, near), near) == pytest.approx(
        tallest(finer.fids[0, 0], finer.dwell), abs=0.1
    )
    shown = noise_sd(resampled(finer.fids[0], finer.dwell, unseen.dwell)) / noise_sd(finer.fids[0])
    torch.testing.assert_close(shown, torch.full((16,), 0.4**0.5).to(shown), rtol=0.1, atol=0)
    silent = as_fids(unseen, 0, extension={k: v for k, v in other.extension.items() if k != "EchoTime"}, echo=None)
    write_fids(tmp_path / "0.nii.gz", silent)
    longer = {**other.extension, "EchoTime": 0.08}
    write_fids(tmp_path / "c.nii.gz", as_fids(unseen, 2, extension=longer, echo=0.08))
    with pytest.raises(InputError, match="one protocol"):
        measured_sessions([tmp_path / f"{name}.nii.gz" for name in "0ac"])
