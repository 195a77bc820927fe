"""The one function that judges a run before it starts, and the only one that ends the program."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from mrsikit.io.errors import InputError
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.options import (
    as_flag,
    check_device,
    check_path_option,
    check_positive,
    check_share,
    check_weights,
    unknown_options,
)

logger = logging.getLogger(__name__)


def check_inputs(
    inputs: InputFolder,
    *,
    flags: Mapping[str, object] | None = None,
    numbers: Mapping[str, object] | None = None,
    shares: Mapping[str, object] | None = None,
    device: object = None,
    weights: object = None,
    network: torch.nn.Module | None = None,
    problems: Sequence[str] = (),
) -> None:
    """Check the options and every input of a run; log one line a problem and end the program if there is one.

    To stand first in the ``run`` list of an inference config. With ``skip_invalid`` bad inputs are logged as warnings
    and left out of :meth:`InputFolder.datalist`; bad options and folders end the program all the same.

    Args:
        inputs: the inputs of the run.
        flags: further yes or no options of the config, by name.
        numbers: options that must be None or a number above zero, by name.
        shares: options that must be a number above 0 and at most 1, by name.
        device: the option of that name; None: not looked at.
        weights: the option of that name, looked at if the network is given.
        network: what the weights are for.
        problems: what the bundle itself found wrong with its options, a line each.

    Raises:
        SystemExit: with code 1, when there is a problem (with ``skip_invalid``: when no input is left).
    """
    found = [*_option_problems(inputs, flags or {}, numbers or {}, shares or {}), *problems]
    found += _machine_problems(device, weights, network)
    if not found:
        found += _output_problems(inputs)
    if found:
        _stop(found)
    try:
        invalid = inputs.check()
        orphans, unknown = inputs.orphans(), inputs.unknown_keys()
    except InputError as error:
        _stop([str(error)])
    for path in orphans:
        logger.warning(
            "%s: is left aside, because it is named as a companion and has no map; rename it if it is a map", path
        )
    for key in unknown:
        companions = ", ".join(inputs.companions) or "none"
        logger.warning(
            "%s: %r is not read; the companions this bundle knows are %s", inputs.dataset_dir, key, companions
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
    for name in ("dataset_dir", "output_dir") if inputs.reads_files else ("output_dir",):
        yield from _refused(check_path_option, getattr(inputs, name), name)
    for name, value in {"overwrite": inputs._overwrite, "skip_invalid": inputs._skip_invalid, **flags}.items():
        yield from _refused(as_flag, value, name)
    for name, value in numbers.items():
        yield from _refused(check_positive, value, name)
    for name, value in shares.items():
        yield from _refused(check_share, value, name)


def _machine_problems(device: object, weights: object, network: torch.nn.Module | None) -> Iterator[str]:
    if device is not None:
        yield from _refused(check_device, device)
    if network is not None:
        yield from _refused(check_weights, weights, network)


def _refused(check: Callable[..., object], *arguments: object) -> Iterator[str]:
    """The line of a check that refuses; nothing of one that passes."""
    try:
        check(*arguments)
    except InputError as error:
        yield str(error)


def _output_problems(inputs: InputFolder) -> list[str]:
    """Try to write where the output folder is or will be: modes and owners do not tell (root, network drives)."""
    folder = Path(str(inputs.output_dir)).expanduser().absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".partial-"):
            pass
    except OSError as error:
        reason = f"{folder} cannot be written to ({error.strerror or error})"
        return [f"output_dir {inputs.output_dir}: {reason}; choose another --output_dir"]
    return []
