"""The command ``mrsikit``: one short name for each bundle's inference.

``mrsikit fill IN OUT --threshold 0.9`` runs what ``python -m monai.bundle run --config_file
<bundle>/configs/inference.json --bundle_root <bundle> --dataset_dir IN --output_dir OUT --threshold 0.9`` runs, with
the bundle and the weights that are installed. ``mrsikit report`` and ``mrsikit import`` run no bundle's inference.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

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
IMPORT, IMPORT_DOES = "import", "make maps of what LCModel or FSL-MRS found"
REGIONS, REGIONS_DOES = "regions", "write regions.csv: means of labelled regions, for a folder of results or of maps"
BIDS, BIDS_DOES = "bids", "run a bundle on the maps of a BIDS dataset, and write a BIDS derivative dataset"
NEEDS_NO_INPUT = "synthesise"
HELP = ("-h", "--help")
REPORT_HELP = (
    "Write report.html again for the results in OUT, from the inputs IN that they were made from. Which bundle made\n"
    "them, and with which options, is read from their records. Inputs that are done are not computed again.\n"
    "--figures N: most inputs that are drawn."
)
REGIONS_USAGE = f"mrsikit {REGIONS} OUT [--rois FILE_OR_FOLDER] [--ratio_to NAME]"
REGIONS_HELP = (
    "Write OUT/regions.csv: mean, median and SD of each map in OUT and of its ratio to total creatine, by region.\n"
    "Regions are the labels in <session>_rois.nii.gz, on any grid, in OUT.\n"
    "--rois: a label image for all maps, or the folder with <session>_rois.nii.gz, such as that of the inputs.\n"
    "--ratio_to: metabolite to divide by instead of total creatine; none: no ratios."
)

IMPORT_HELP = (
    "Write the results of LCModel (.table, .coord or .csv) or of fsl_mrsi in FOLDER as the maps of one case in OUT:\n"
    "a map and its bounds (percent) for each row of the results, signal-to-noise ratio, linewidth, and a record."
)
IMPORT_OPTIONS = {
    "name": ("NAME", "start of the file names; by default the name of FOLDER"),
    "reference": ("FILE", "a NIfTI, NIfTI-MRS or SPAR file on the grid of the maps; LCModel's files state no position"),
    "voxel_size": ("A,B,C", "sides of a voxel in mm, if there is no reference: then the position is unknown"),
    "program": ("lcmodel|fsl_mrs", "by default what FOLDER holds"),
    "scaling": ("internal|raw|molarity|molality", "which of FSL-MRS's concentrations; internal by default"),
    "metabolites": ("ROW,ROW", "rows to write, such as NAA+NAAG,Cr+PCr; by default all"),
    "overwrite": ("true|false", "replace the maps of an earlier import of this name; false by default"),
    "skip_invalid": (
        "true|false",
        "leave voxels missing whose file cannot be used; false by default: nothing is written",
    ),
}
"""Options of the import: what they take, and what they do."""


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
    elif given[0] == IMPORT:
        _write(import_help()) if set(HELP) & set(given) else import_results(given[1:])
    elif given[0] == REGIONS:
        _write(f"{REGIONS_USAGE}\n\n{REGIONS_HELP}") if set(HELP) & set(given) else regions(given[1:])
    elif given[0] == BIDS:
        bids(given[1:])
    elif given[0] not in COMMANDS:
        raise SystemExit(_unknown(given[0]))
    elif set(HELP) & set(given):
        _write(command_help(given[0], shutil.get_terminal_size((100, 40)).columns, given[1:]))
    else:
        run(given[0], given[1:])


def overview() -> str:
    """Return the help of the program."""
    lines = [f"  {name:19}{what} ({bundle})" for name, (bundle, what) in COMMANDS.items()]
    more = ((REPORT, REPORT_DOES), (REGIONS, REGIONS_DOES), (IMPORT, IMPORT_DOES), (BIDS, BIDS_DOES))
    lines += [f"  {name:19}{what}" for name, what in more]
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
    if command == IMPORT:
        return f"mrsikit {IMPORT} FOLDER OUT [--option value ...]"
    return f"mrsikit {command} {'[IN] OUT' if command == NEEDS_NO_INPUT else 'IN OUT'} [--option value ...]"


def command_help(command: str, width: int = 100, arguments: Sequence[str] = ()) -> str:
    """Return the help of a command, made from the options model of its bundle.

    Args:
        command: one of :data:`COMMANDS`.
        width: longest line.
        arguments: words of the command line; those of ``--method NAME`` choose the options of a published method.

    Raises:
        SystemExit: the bundle is not installed, or knows no such method.
    """
    from mrsikit.io.errors import InputError
    from mrsikit.runtime.bundles import options_model, reference_methods, split_method

    bundle, what = COMMANDS[command]
    root = _root(bundle)
    try:
        method, _ = split_method(root, arguments)
    except InputError as error:
        raise SystemExit(str(error)) from None
    options = options_model(root, method).help_text(width, without=("dataset_dir", "output_dir", "reference"))
    if names := reference_methods(root):
        options += f"\n  --method {'|'.join(names)}\n      the published method in place of the bundle's own"
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
    bundle = COMMANDS[command][0]
    _root(bundle)  # or a line says that it is not installed
    from mrsikit.runtime.bundles import run_inference

    # With ./ in front, because MONAI reads a folder named 2024_02_01 as a number.
    *inputs, output = [os.path.join(os.curdir, os.path.expanduser(path)) for path in paths]
    given = [word for path in inputs for word in ("--dataset_dir", path)] + ["--output_dir", output, *options]
    run_inference(bundle, given)


def report(arguments: Sequence[str]) -> None:
    """Write the report of a folder of results again: run the bundle that made them, with the options of their records.

    Args:
        arguments: IN (but for new sessions) and OUT, then options such as ``--figures``.

    Raises:
        SystemExit: with code 1, if the folder holds no results, or as in :func:`run`.
    """
    from mrsikit.runtime.bundles import options_model
    from mrsikit.runtime.provenance import read_record

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
    method = record["parameters"].get("reference")
    reference = ["--method", method] if method else []
    fields = options_model(_root(bundle), method).model_fields
    recorded = {name: value for name, value in record["parameters"].items() if name in set(fields) - {"reference"}}
    words = [word for name, value in recorded.items() for word in _as_words(name, value)]
    # What is given last counts.
    run(command, [*paths, *reference, *words, "--report", "true", *arguments[len(paths) :]])


def import_help() -> str:
    """Return the help of the import."""
    options = [f"  --{name} {values}\n      {does}" for name, (values, does) in IMPORT_OPTIONS.items()]
    return "\n".join([usage(IMPORT), "", IMPORT_HELP, "", *options])


def import_results(arguments: Sequence[str]) -> None:
    """Import the results of a fitting program, and say what was written and what is doubtful.

    Args:
        arguments: FOLDER and OUT, then :data:`IMPORT_OPTIONS`.

    Raises:
        SystemExit: with code 1 and one line per problem, if the results or an option cannot be used.
    """
    from mrsikit.io.errors import InputError
    from mrsikit.io.imported import import_case

    paths = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if len(paths) != 2:
        raise SystemExit(f"give the folders first: {usage(IMPORT)}")
    options: dict[str, Any] = _import_options(arguments[2:])
    if "metabolites" in options:
        options["metabolites"] = [row.strip() for row in options["metabolites"].split(",") if row.strip()]
    try:
        record = import_case(*paths, **options)
    except (InputError, OSError) as error:
        raise SystemExit(str(error)) from None
    lines = [f"warning: {line}" for line in record["warnings"]]
    lines += [f"left out: {row} {why}" for row, why in record["left_out"].items()]
    written = f"{len(record['rows'])} maps of {record['program']} ({record['units']['concentration']}) in {paths[1]}"
    _write("\n".join([*lines, f"{written}; position: {record['position']}"]))


def _import_options(words: Sequence[str]) -> dict[str, Any]:
    """Read ``--name value`` and ``--name=value``."""
    import difflib

    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        key = name.removeprefix("--")
        if key not in IMPORT_OPTIONS or not name.startswith("--"):
            close = difflib.get_close_matches(key, IMPORT_OPTIONS, n=1)
            hint = f"did you mean --{close[0]}?" if close else f"the options are --{', --'.join(IMPORT_OPTIONS)}"
            raise SystemExit(f"{name}: is no option of mrsikit {IMPORT}; {hint}")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else ""
        if not value:
            raise SystemExit(f"--{key}: has no value; give {IMPORT_OPTIONS[key][0]}")
        flag = IMPORT_OPTIONS[key][0] == "true|false"
        if flag and value.lower() not in ("true", "false"):
            raise SystemExit(f"--{key} {value}: is neither true nor false; give --{key} true or --{key} false")
        found[key] = value.lower() == "true" if flag else value
    return found


def regions(arguments: Sequence[str]) -> None:
    """Write the table of labelled regions for a folder of results or of maps.

    Args:
        arguments: the folder, then ``--rois`` and ``--ratio_to``, each with a value.

    Raises:
        SystemExit: with code 1 and one line per problem.
    """
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    options = dict(zip(words[1::2], words[2::2], strict=False))
    if len(words) % 2 == 0 or words[0].startswith("-") or set(options) - {"--rois", "--ratio_to"}:
        raise SystemExit(f"give the folder first, then options with a value each: {REGIONS_USAGE}")
    from mrsikit.io.errors import InputError
    from mrsikit.runtime.region_table import TABLE, write_region_table

    try:
        rows = write_region_table(words[0], rois=options.get("--rois"), ratio_to=options.get("--ratio_to"))
    except InputError as error:
        raise SystemExit(str(error)) from None
    _write(f"{Path(words[0]).expanduser() / TABLE}: {len(rows)} row{'s' if len(rows) != 1 else ''}")


def bids(arguments: Sequence[str]) -> None:
    """Run the BIDS app, see :mod:`mrsikit.runtime.bids`.

    Args:
        arguments: BIDS_DIR, OUT and the level of the analysis, then options of the app and of the bundle.

    Raises:
        SystemExit: with code 1 and one line per problem.
    """
    from mrsikit.io.errors import InputError
    from mrsikit.runtime.bids import help_text, run_app

    if not arguments or set(HELP) & set(arguments):
        _write(help_text())
        return
    try:
        _write(run_app(arguments))
    except InputError as error:
        raise SystemExit(str(error)) from None


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

    commands = [*COMMANDS, REPORT, REGIONS, IMPORT, BIDS]
    close = difflib.get_close_matches(command, commands, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(commands)}"
    return f"mrsikit {command}: is no command; {hint}"


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
