"""The one function that judges a run before it starts, and the only one that ends the program."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mrsikit.io.errors import InputError
from mrsikit.io.inputs import InputFolder
from mrsikit.io.options import as_flag, check_path_option, check_positive, check_share, unknown_options

logger = logging.getLogger(__name__)


def check_inputs(
    inputs: InputFolder,
    *,
    flags: Mapping[str, object] | None = None,
    numbers: Mapping[str, object] | None = None,
    shares: Mapping[str, object] | None = None,
) -> None:
    """Check the options and every input of a run; log one line a problem and end the program if there is one.

    To stand first in the ``run`` list of an inference config. With ``skip_invalid`` bad inputs are logged as warnings
    and left out of :meth:`InputFolder.datalist`; bad options and folders end the program all the same.

    Args:
        inputs: the inputs of the run.
        flags: further yes or no options of the config, by name.
        numbers: options that must be None or a number above zero, by name.
        shares: options that must be a number above 0 and at most 1, by name.

    Raises:
        SystemExit: with code 1, when there is a problem (with ``skip_invalid``: when no input is left).
    """
    problems = [*_option_problems(inputs, flags or {}, numbers or {}, shares or {})]
    if not problems:
        problems += _output_problems(inputs)
    if problems:
        _stop(problems)
    try:
        invalid = inputs.check()
        orphans = inputs.orphans()
    except InputError as error:
        _stop([str(error)])
    for path in orphans:
        logger.warning(
            "%s: is left aside, because it is named as a companion and has no map; rename it if it is a map", path
        )
    lines = [line for of_file in invalid.values() for line in of_file]
    count = len(inputs.files)
    if invalid and (not inputs.skip_invalid or len(invalid) == count):
        hint = "" if len(invalid) == count else "; --skip_invalid true runs the others"
        _stop([*lines, f"{len(invalid)} of {count} inputs cannot be used, nothing was computed{hint}"])
    for line in lines:
        logger.warning("skipped: %s", line)
    to_do = len(inputs.datalist())
    done = count - len(invalid) - to_do
    logger.info("%d of %d inputs to compute, %d done before, %d skipped as invalid", to_do, count, done, len(invalid))


def _stop(lines: list[str]) -> None:
    for line in lines:
        logger.error("%s", line)
    raise SystemExit(1)


def _option_problems(
    inputs: InputFolder, flags: Mapping[str, object], numbers: Mapping[str, object], shares: Mapping[str, object]
) -> Iterator[str]:
    yield from unknown_options(sys.argv)
    for name in ("dataset_dir", "output_dir"):
        try:
            check_path_option(getattr(inputs, name), name)
        except InputError as error:
            yield str(error)
    for name, value in {"overwrite": inputs._overwrite, "skip_invalid": inputs._skip_invalid, **flags}.items():
        try:
            as_flag(value, name)
        except InputError as error:
            yield str(error)
    for name, value in numbers.items():
        try:
            check_positive(value, name)
        except InputError as error:
            yield str(error)
    for name, value in shares.items():
        try:
            check_share(value, name)
        except InputError as error:
            yield str(error)


def _output_problems(inputs: InputFolder) -> list[str]:
    """Try to make the output folder and to write in it: modes and owners do not tell that (root, network drives)."""
    folder = Path(str(inputs.output_dir)).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".partial-"):
            pass
    except OSError as error:
        return [f"output_dir {folder} cannot be written to ({error.strerror or error}); choose another --output_dir"]
    return []
