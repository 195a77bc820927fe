"""What can be wrong with the options of a run."""

from __future__ import annotations

from mrs_vae_synthesis.sampling import CONDITIONS, SAMPLINGS

MOST_TRANSIENTS = 1024
"""Of one session, which is made in one piece."""


def option_problems(
    *,
    sampling: object = "random",
    number: object = None,
    transients: object = None,
    condition: object = "both",
    seed: object = 0,
    dataset_dir: object = None,
    edited: bool = True,
) -> list[str]:
    """Say what is wrong with the options of a run.

    Args:
        sampling: one of :data:`mrs_vae_synthesis.sampling.SAMPLINGS`.
        number: of transients in all, with ``random``; of each file, with the others; None: as many as are usual.
        transients: of a new session; None: as many as are usual.
        condition: one of :data:`mrs_vae_synthesis.sampling.CONDITIONS`.
        seed: a whole number, not below zero.
        dataset_dir: of measured sessions; ``random`` needs none.
        edited: whether the network knows ON and OFF.

    Returns:
        A line a problem, with what would be right.
    """
    problems = []
    if sampling not in SAMPLINGS:
        problems.append(f"--sampling {sampling}: is none of {', '.join(SAMPLINGS)}")
    elif sampling == "random" and dataset_dir is not None:
        problems.append("--dataset_dir: random sampling needs no data; leave it out, or give another --sampling")
    elif sampling == "reconstruct" and number is not None:
        problems.append("--number: a reconstruction has the transients of its file; leave it out")
    elif sampling == "reconstruct" and condition != "both":
        problems.append("--condition: a reconstruction has the edits of its file; leave it out")
    elif sampling != "random" and transients is not None:
        problems.append("--transients: is for random sampling; give --number, the new transients of each file")
    if condition in ("on", "off") and not edited:
        problems.append(f"--condition {condition}: the network was trained on unedited data; leave it out")
    if condition not in CONDITIONS:
        problems.append(f"--condition {condition}: is none of {', '.join(CONDITIONS)}")
    for name, value in (("number", number), ("transients", transients)):
        if value is not None and (type(value) is not int or value < 1):
            problems.append(f"--{name} {value}: is no whole number above zero")
    most = number if sampling in ("interpolate", "hybrid") else transients
    if type(most) is int and most > MOST_TRANSIENTS:
        name = "number" if sampling in ("interpolate", "hybrid") else "transients"
        problems.append(f"--{name} {most}: a session has at most {MOST_TRANSIENTS} transients")
    if condition == "both" and edited:
        problems += [
            f"--{name} {value}: ON and OFF come in pairs; give an even number"
            for name, value in (("transients", transients), ("number", number))
            if type(value) is int and value % 2
        ]
    if type(seed) is not int or not 0 <= seed < 2**32:
        problems.append(f"--seed {seed}: is no whole number from 0 to 4294967295")
    return problems
