"""Demo of mrs_vae_synthesis: new sessions, more transients of a measured session, and a classifier test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from mrs_vae_synthesis.checks import rows_of, steps_of
from mrs_vae_synthesis.nifti_sessions import EDITED, by_edit, read_session
from mrs_vae_synthesis.sessions import Sessions, simulated_sessions
from mrsikit.io import Fids, write_fids
from mrsikit.metrics.two_samples import classifier_accuracy
from mrsikit.physics.spectra import noise_sd, ppm_axis, spectrum

SEED = 4711


def synthesis(output: Path, *, run: Callable[..., None], quick: bool = False, **_: object) -> None:
    """Demonstrate mrs_vae_synthesis: make new sessions and more transients of a measured one, and test the new ones.

    Args:
        output: folder for all files.
        run: function that runs a bundle's public command: (name, inputs, outputs, options).
        quick: make few sessions.
    """
    number = 20 if quick else 60
    real = simulated_sessions(number, seed=SEED, transients=16)
    measured = output / "measured"
    measured.mkdir(parents=True, exist_ok=True)
    write_fids(measured / "subject.nii.gz", _as_fids(real, 0))
    run("mrs_vae_synthesis", None, output / "new", "--number", str(16 * number), "--transients", "16")
    run("mrs_vae_synthesis", measured, output / "more", "--sampling", "hybrid")
    made = [read_session(path) for path in sorted((output / "new").glob("*_synthetic.nii.gz"))]
    new = replace(made[0], fids=torch.cat([one.fids for one in made]), on=torch.cat([one.on for one in made]))
    owners = np.repeat(np.arange(number), 4)
    print(f"\n{number} unseen virtual subjects, {number} synthetic sessions of 16 transients\n")
    accuracy = {}
    for name, rows in (("spectra", rows_of), ("where noise shows", steps_of)):
        accuracy[name] = share = classifier_accuracy(rows(real), rows(new), owners, owners)
        print(f"a classifier that sees {name:18s} tells {share:.0%} right; half is chance")
    accuracy["noise"] = float(noise_sd(new.fids).mean() / noise_sd(real.fids).mean())
    print(f"noise of synthetic over noise of real transients: {accuracy['noise']:.2f}")
    (output / "table.json").write_text(json.dumps(accuracy, indent=2) + "\n", encoding="utf-8")
    print("These few sessions only show how it works; the model card measures.\n")
    more = read_session(output / "more" / "subject_synthetic.nii.gz")
    _draw(real, made[0], more, output / "comparison.png")
    print(f"reports:           {output / 'new' / 'report.html'}, {output / 'more' / 'report.html'}")
    print(f"comparison:        {output / 'comparison.png'}")


def _as_fids(given: Sessions, place: int) -> Fids:
    values = by_edit(given.fids[place], given.on[place])[None, None, None]
    return Fids(
        values=values.numpy().astype(np.complex64), affine=np.diag([30.0, 30, 30, 1]), dwell=given.dwell,
        larmor=given.larmor, nucleus="1H", reference=given.reference, delay=None, echo=given.echo,
        extension={"dim_5": "DIM_DYN", "EchoTime": given.echo, **EDITED},
    )  # fmt: skip


def _draw(real: Sessions, new: Sessions, more: Sessions, path: Path) -> None:
    ppm = ppm_axis(real.fids.shape[-1], real.dwell, larmor=real.larmor, reference=real.reference)
    inside = (ppm > 0.2) & (ppm < 4.2)
    figure = Figure(figsize=(12, 6))
    axes = figure.subplots(2, 3, sharex=True)
    sessions = {"an unseen virtual subject": real, "more of that subject": more, "a new session": new}
    for column, (title, session) in zip(axes.T, sessions.items(), strict=True):
        fids, on = session.fids[0], session.on[0]
        values = spectrum(fids).abs()
        for edit, name in ((True, "ON"), (False, "OFF")):
            column[0].plot(ppm[inside], values[on == edit][0][inside], lw=0.7, label=f"{name}, one transient")
            column[1].plot(ppm[inside], values[on == edit].mean(0)[inside], lw=0.8, label=f"{name}, mean of magnitudes")
        column[0].set_title(title, fontsize=10)
        for axis in column:
            axis.set_yticks([])
            axis.legend(fontsize=7, frameon=False)
        column[1].set_xlim(4.2, 0.2)
        column[1].set_xlabel("chemical shift (ppm)")
    figure.tight_layout()
    figure.savefig(path, dpi=90)
