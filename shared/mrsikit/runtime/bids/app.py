"""The command line of the BIDS app, and its two levels: participant and group.

It lives in mrsikit, not in the tools, because it is installed with it. It imports no bundle: it runs one by name, as
the other commands of mrsikit do.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from monai.bundle import ConfigParser

from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.errors import InputError
from mrsikit.runtime.bids.dataset import BidsMap, choose_labels, dataset_of_maps, list_images, match_maps
from mrsikit.runtime.bids.derivatives import check_output, describe_dataset, link_names, read_json, write_derivatives
from mrsikit.runtime.bids.group_table import GROUP, write_group_table
from mrsikit.runtime.bids.patterns import IMAGE, read_patterns
from mrsikit.runtime.bundles import bundle_root, options_model, run_inference, split_method
from mrsikit.runtime.labelled_maps import MAPS

logger = logging.getLogger(__name__)

BUNDLES = tuple(MAPS)
"""Bundles whose inputs are maps."""

LEVELS = ("participant", "group")
USAGE = "mrsikit bids BIDS_DIR OUT participant|group --bundle NAME [--option value ...]"
ABOUT = (
    "participant: run a bundle on the metabolite maps of each participant of a BIDS dataset, and write the results to\n"
    "OUT as a BIDS derivative dataset. What is done is not computed again.\n"
    "group: write OUT/group.tsv, the figures of all maps in OUT, with those of regions if OUT has them."
)
OWN = {
    "participant-label": ("LABEL ...", "participants, with or without sub-; by default all"),
    "session-label": ("LABEL ...", "sessions, with or without ses-; by default all"),
    "bundle": ("NAME", f"one of {', '.join(BUNDLES)}"),
    "derivatives": ("FOLDER ...", "further BIDS datasets in which the same participants have maps, masks or MRIs"),
    "patterns": ("FILE", "JSON that says by entities which files are maps, bounds, masks and MRIs"),
}
"""Options of the app: what they take, and what they do. All others are those of the bundle."""

NOT_HERE = {
    "dataset_dir": "BIDS_DIR is what is read",
    "output_dir": "OUT is where the results go",
    "shard": "give the jobs of a cluster each its --participant-label",
}
"""Options of a bundle that the app takes by other means."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"mrsikit bids: {message}; the form is {USAGE}")


def help_text() -> str:
    """Return the help of the command."""
    options = [f"  --{name} {values}\n      {does}" for name, (values, does) in OWN.items()]
    return "\n".join([USAGE, "", ABOUT, "", *options, "\nAll further options are those of the bundle."])


def run_app(arguments: Sequence[str]) -> str:
    """Run one level of the app.

    Args:
        arguments: BIDS_DIR, OUT and the level, then options of the app (:data:`OWN`) and of the bundle.

    Returns:
        A line that says what was written.

    Raises:
        InputError: the arguments, the dataset or the inputs of a participant cannot be used; one line for each problem.
            The other participants are computed.
    """
    parsed, given = _parser().parse_known_args(list(arguments))
    if parsed.analysis_level not in LEVELS:
        raise InputError(f"{parsed.analysis_level}: is no level of the analysis; give participant or group")
    datasets = [Path(path).expanduser().absolute() for path in (parsed.bids_dir, *(parsed.derivatives or ()))]
    out = Path(parsed.output_dir).expanduser().absolute()
    if parsed.analysis_level == "group":
        return _group(out, parsed)
    _check_bundle(parsed.bundle, given)
    check_output(out, datasets, parsed.bundle, BUNDLES)
    maps, sessions = _find(datasets, parsed)
    names = link_names(datasets)
    version = read_json(bundle_root(parsed.bundle) / "configs" / "metadata.json").get("version", "")
    failed, images = [], 0
    for participant, found in maps.items():
        results = out / parsed.bundle / f"sub-{participant}"
        if not _compute(parsed.bundle, found, results, given, sessions):
            failed.append(f"sub-{participant}: was not computed; the lines above say why")
        written = [image for one in found for image in write_derivatives(one, results, out, names)]
        images += len(written)
        if written:
            describe_dataset(out, parsed.bundle, version, names)
    if failed:
        raise InputError("\n".join(failed))
    return f"{out}: {images} images of {len(maps)} participant{'s' if len(maps) != 1 else ''}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mrsikit bids", add_help=False, allow_abbrev=False)
    for name in ("bids_dir", "output_dir", "analysis_level"):
        parser.add_argument(name)
    for name, (values, _) in OWN.items():
        spellings = dict.fromkeys((f"--{name}", f"--{name.replace('-', '_')}"))
        parser.add_argument(*spellings, nargs="+" if values.endswith("...") else None)
    return parser


def _group(out: Path, parsed: argparse.Namespace) -> str:
    labels = {
        what: None if given is None else [label.removeprefix(start) for label in given]
        for what, given, start in (
            ("participants", parsed.participant_label, "sub-"),
            ("sessions", parsed.session_label, "ses-"),
        )
    }
    rows = write_group_table(out, **labels)
    return f"{out / GROUP}: {rows} row{'s' if rows != 1 else ''}"


def _check_bundle(bundle: str | None, given: Sequence[str]) -> None:
    """Check the name of the bundle, and the names of its options; the bundle checks their values.

    Raises:
        InputError: one line for each problem.
    """
    if bundle not in BUNDLES:
        named = "is missing" if bundle is None else f"{bundle}: is no bundle that reads maps"
        raise InputError(f"--bundle {named}; give one of {', '.join(BUNDLES)}")
    root = bundle_root(bundle)
    method, given = split_method(root, given)
    known = [*options_model(root, method).model_fields, *OWN]
    problems = []
    for option in (word.partition("=")[0] for word in given if word.startswith("--")):
        name = option.removeprefix("--")
        if name in NOT_HERE:
            problems.append(f"{option}: is no option of mrsikit bids; {NOT_HERE[name]}")
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean --{close[0]}?" if close else f"the card of {bundle} lists them"
            problems.append(f"{option}: is no option of {bundle}; {hint}")
    if problems:
        raise InputError("\n".join(problems))


def _find(datasets: Sequence[Path], parsed: argparse.Namespace) -> tuple[dict[str, list[BidsMap]], list[str] | None]:
    """Return the maps of each participant that has some, and the sessions that were chosen; None: all.

    Raises:
        InputError: there are none, or two files are the same; one line for each problem.
    """
    patterns = read_patterns(None if parsed.patterns is None else Path(parsed.patterns).expanduser())
    config: dict[str, Any] = ConfigParser.load_config_file(bundle_root(parsed.bundle) / "configs" / "inference.json")
    images = list_images(datasets)
    participants = choose_labels(parsed.participant_label, images, "participant", datasets[0])
    sessions = None
    if parsed.session_label is not None:
        known = {file.name.session for label in participants for file in images[label]} - {""}
        sessions = choose_labels(parsed.session_label, known, "session", datasets[0])
    dataset = dataset_of_maps(datasets, images, patterns[IMAGE])
    right = "name them as sub-01_met-NAA_desc-signal_mrsi.nii.gz, or give --patterns"
    if dataset is None:
        raise InputError(f"{datasets[0]}: holds no metabolite maps; {right}")
    maps: dict[str, list[BidsMap]] = {}
    problems = []
    for label in participants:
        try:
            found = match_maps(images[label], patterns, config["companions"], dataset=dataset)
        except InputError as error:
            problems.append(str(error))
            continue
        if sessions is not None:
            found = [one for one in found if one.file.name.session in sessions]
        if found:
            maps[label] = found
        else:
            logger.warning("sub-%s: has no metabolite maps in %s", label, dataset)
    if problems:
        raise InputError("\n".join(problems))
    if not maps:
        raise InputError(f"{dataset}: holds no metabolite maps of these participants and sessions; {right}")
    return maps, sessions


def _compute(
    bundle: str, maps: Sequence[BidsMap], results: Path, given: Sequence[str], sessions: Sequence[str] | None
) -> bool:
    """Run a bundle on the maps of one participant, as a MONAI datalist. Return whether it ended well.

    The datalist stays beside the results, because the command in the report names it. That of some sessions has a name
    of its own, so that two jobs with different sessions do not change each other's.
    """
    entries = [
        {"image": str(one.file.path), **{name: str(file.path) for name, file in one.companions.items()}} for one in maps
    ]
    with tempfile.TemporaryDirectory() as temporary:
        is_dry = "--dry_run true" in " ".join(given).replace("=", " ").lower()  # then nothing is written
        name = "_".join(["inputs", *(f"ses-{label}" for label in sessions or ())])
        datalist = (Path(temporary) if is_dry else results) / f"{name}.json"
        write_text_atomically(datalist, json.dumps(entries, indent=2) + "\n")
        try:
            run_inference(bundle, ["--dataset_dir", str(datalist), "--output_dir", str(results), *given])
        except SystemExit as stop:
            return stop.code in (None, 0)
    return True
