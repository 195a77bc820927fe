"""The command ``mrsikit``: one short name for each bundle's inference.

``mrsikit fill IN OUT --threshold 0.9`` runs what ``python -m monai.bundle run --config_file
<bundle>/configs/inference.json --bundle_root <bundle> --dataset_dir IN --output_dir OUT --threshold 0.9`` runs, with
the bundle and the weights that are installed.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import warnings
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import mrsikit

# torch and MONAI take seconds to import. The overview needs neither, so functions import what needs them.

COMMANDS = {
    "fill": ("mrsi_inpainting", "fill the failed voxels of metabolite maps"),
    "super-resolve": ("mrsi_super_resolution", "make coarse metabolite maps finer"),
    "super-resolve-gan": ("mrsi_gan_super_resolution", "the same by three methods, with or without the MRI, and in 3D"),
    "quantify": ("dmi_quantification", "quantify deuterium FIDs"),
    "synthesise": ("mrs_vae_synthesis", "make synthetic MR spectra"),
}
"""Bundle of each command, and what it does."""

REPORT, REPORT_DOES = "report", "write report.html again for a folder of results, as they were made"
NEEDS_NO_INPUT = "synthesise"
HELP = ("-h", "--help")
REPORT_HELP = (
    "Write report.html again for the results in OUT, from the inputs IN that they were made from. Which bundle made\n"
    "them, and with which options, is read from their records. Inputs that are done are not computed again.\n"
    "--figures N: most inputs that are drawn."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: words after the name of the program; None: those of this process.

    Raises:
        SystemExit: with code 1 and one line per problem, if the command cannot run; with code 0 after a help text.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in HELP:
        _write(overview())
    elif given[0] == "--version":
        _write(mrsikit.__version__)
    elif given[0] == REPORT:
        _write(f"{usage(REPORT)}\n\n{REPORT_HELP}") if set(HELP) & set(given) else report(given[1:])
    elif given[0] not in COMMANDS:
        raise SystemExit(_unknown(given[0]))
    elif set(HELP) & set(given):
        _write(command_help(given[0], shutil.get_terminal_size((100, 40)).columns))
    else:
        run(given[0], given[1:])


def overview() -> str:
    """Return the help of the program."""
    lines = [f"  {name:19}{what} ({bundle})" for name, (bundle, what) in COMMANDS.items()]
    lines.append(f"  {REPORT:19}{REPORT_DOES}")
    return "\n".join(
        [
            "mrsikit COMMAND [IN] OUT [--option value ...]\n",
            *lines,
            "\nIN is a folder, one file, or a datalist in JSON; OUT is the folder of the results.",
            "mrsikit COMMAND --help lists the options. For research use only.",
        ]
    )


def usage(command: str) -> str:
    """Return the form of a command."""
    return f"mrsikit {command} {'[IN] OUT' if command == NEEDS_NO_INPUT else 'IN OUT'} [--option value ...]"


def command_help(command: str, width: int = 100) -> str:
    """Return the help of a command, made from the options model of its bundle.

    Args:
        command: one of :data:`COMMANDS`.
        width: longest line.

    Raises:
        SystemExit: the bundle is not installed.
    """
    from mrsikit.runtime.bundles import options_model

    bundle, what = COMMANDS[command]
    options = options_model(_root(bundle)).help_text(width, without=("dataset_dir", "output_dir"))
    about = "IN is a folder of inputs, one file, or a datalist in JSON; OUT is the folder of the results."
    if command == NEEDS_NO_INPUT:
        about += " New sessions need no IN; the other kinds of --sampling do."
    return f"{usage(command)}\n\n{what} (bundle {bundle})\n{about}\n\n{options}"


def run(command: str, arguments: Sequence[str]) -> None:
    """Run the inference of a bundle in this process, by MONAI's own command.

    Args:
        command: one of :data:`COMMANDS`.
        arguments: IN (but for new sessions) and OUT, then the options.

    Raises:
        SystemExit: with code 1, if a folder is missing or the bundle refuses an option or an input.
    """
    paths = list(takewhile(lambda word: not word.startswith("-"), arguments))
    options = list(arguments[len(paths) :])
    if len(paths) not in ((1, 2) if command == NEEDS_NO_INPUT else (2,)):
        many = "; for several maps give their folder" if len(paths) > 2 else ""
        raise SystemExit(f"give the folders first{many}: {usage(command)}")
    root = _root(COMMANDS[command][0])
    # With ./ in front, because MONAI reads a folder named 2024_02_01 as a number.
    *inputs, output = [os.path.join(os.curdir, os.path.expanduser(path)) for path in paths]
    line = ["run", "--config_file", str(root / "configs" / "inference.json"), "--bundle_root", str(root)]
    line += [word for path in inputs for word in ("--dataset_dir", path)] + ["--output_dir", output, *options]
    # MONAI warns of every config that it runs; this one was installed with its code.
    warnings.filterwarnings("ignore", message="parsing config_file")
    sys.argv = ["mrsikit", *line]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)


def report(arguments: Sequence[str]) -> None:
    """Write the report of a folder of results again: run the bundle that made them, with the options of their records.

    Args:
        arguments: IN (but for new sessions) and OUT, then options such as ``--figures``.

    Raises:
        SystemExit: with code 1, if the folder holds no results, or as in :func:`run`.
    """
    from mrsikit.runtime.bundles import options_model
    from mrsikit.runtime.inputs import read_record

    paths = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if not paths:
        raise SystemExit(f"give the folders first: {usage(REPORT)}")
    output = Path(paths[-1]).expanduser()
    records = (read_record(path) for path in sorted(output.glob("*.json")))
    record = next((found for found in records if "bundle" in found), None)
    if record is None:
        raise SystemExit(f"{output}: holds no results of mrsikit; give the folder that a command wrote")
    bundle = record["bundle"]["name"]
    command = next(name for name, (made_by, _) in COMMANDS.items() if made_by == bundle)
    fields = options_model(_root(bundle)).model_fields
    recorded = {name: value for name, value in record["parameters"].items() if name in fields}
    words = [word for name, value in recorded.items() for word in _as_words(name, value)]
    # What is given last counts.
    run(command, [*paths, *words, "--report", "true", *arguments[len(paths) :]])


def _as_words(name: str, value: object) -> list[str]:
    """Return an option as the command line takes it; none for a value that it cannot say, such as none at all."""
    if not isinstance(value, str | int | float):
        return []
    return [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]


def _root(bundle: str) -> Path:
    from mrsikit.io.errors import InputError
    from mrsikit.runtime.bundles import bundle_root

    try:
        return bundle_root(bundle)
    except InputError as error:
        raise SystemExit(str(error)) from None


def _unknown(command: str) -> str:
    import difflib

    commands = [*COMMANDS, REPORT]
    close = difflib.get_close_matches(command, commands, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(commands)}"
    return f"mrsikit {command}: is no command; {hint}"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
