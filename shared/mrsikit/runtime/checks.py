"""Check the options and inputs of a run before it starts; the only function of the package that ends the program."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from mrsikit.io.errors import InputError
from mrsikit.runtime.command_line import changed_paths, unknown_options
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.options import RunOptions, as_flag

logger = logging.getLogger(__name__)


def check_inputs(
    inputs: InputFolder,
    options: RunOptions,
    *,
    network: torch.nn.Module | None = None,
    context: Mapping[str, object] | None = None,
) -> None:
    """Check the options and every input of a run; log one line per problem and end the program if there is one.

    This call must stand first in the ``run`` list of an inference config. It logs which files the run has found; with
    ``dry_run`` it then ends the program with exit code 0. Else it claims the inputs to compute
    (:meth:`InputFolder.claim`). With ``skip_invalid`` it logs invalid inputs as warnings and leaves them out of
    :meth:`InputFolder.datalist`. Invalid options and folders always end the program. A shard may have no input.

    Args:
        inputs: the inputs of the run.
        options: the options of the run, not yet checked.
        network: network that loads the option ``weights``; None: the weights are not checked.
        context: see :meth:`RunOptions.problems`.

    Raises:
        SystemExit: with code 1, if there is a problem. With ``skip_invalid``: if no valid input remains, but for a
            shard.
    """
    found = [*unknown_options(sys.argv), *changed_paths(sys.argv), *options.problems(context)]
    if network is not None:
        found += _weights_problems(options.weights, network)
    if not found:
        found += _output_problems(inputs)
    if found:
        _stop(found)
    try:
        invalid = inputs.check()
        found, unknown = inputs.table(), inputs.unknown_keys()
    except InputError as error:
        _stop([str(error)])
    for line in found:
        logger.info("%s", line)
    for key in unknown:
        companions = ", ".join(inputs.companions) or "none"
        logger.warning(
            "%s: %r is not read; the companions this bundle knows are %s", inputs.dataset_dir, key, companions
        )
    lines = [line for of_file in invalid.values() for line in of_file]
    count = len(inputs.files)
    none_left = len(invalid) == count and inputs.shard is None
    if invalid and (not inputs.skip_invalid or none_left):
        hint = "" if len(invalid) == count else "; --skip_invalid true runs the others"
        _stop([*lines, f"{len(invalid)} of {count} inputs cannot be used, nothing was computed{hint}"])
    for line in lines:
        logger.warning("skipped: %s", line)
    if as_flag(options.dry_run, "dry_run"):
        logger.info("--dry_run true: nothing was computed")
        raise SystemExit(0)
    inputs.claim()
    to_do, taken = len(inputs.datalist()), len(inputs.taken)
    done = count - len(invalid) - to_do - taken
    logger.info("%d of %d inputs to compute, %d done before, %d skipped as invalid", to_do, count, done, len(invalid))
    if inputs.shard is not None:
        logger.info("--shard %s: %d of all %d inputs", inputs.shard, count, len(inputs.whole().files))
    if taken:
        logger.info("%d inputs are left to another run, which computes them into the same folder", taken)


def check_weights(path: object, network: torch.nn.Module) -> None:
    """Refuse a file that does not hold the weights of a network.

    Args:
        path: the option ``weights`` as given.
        network: the network that is to load the weights.

    Raises:
        InputError: the file does not exist, holds no state dict, or holds the weights of another network.
    """
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler can raise any error on broken bytes
        what = "does not exist" if not Path(str(path)).is_file() else "is no file of weights"
        raise InputError(f"--weights {path}: {what}; give a state dict, such as models/model.pt") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {n: tuple(getattr(t, "shape", ())) for n, t in state.items()} if isinstance(state, Mapping) else {}
    if found != wanted:
        raise InputError(
            f"--weights {path}: holds weights of another network ({len(wanted.items() & found.items())} of "
            f"{len(wanted)} tensors fit); give weights trained by this bundle's train.json"
        )


def _stop(lines: list[str]) -> None:
    for line in lines:
        logger.error("%s", line)
    raise SystemExit(1)


def _weights_problems(weights: object, network: torch.nn.Module) -> list[str]:
    try:
        check_weights(weights, network)
    except InputError as error:
        return [str(error)]
    return []


def _output_problems(inputs: InputFolder) -> list[str]:
    """Try to write where the output folder is or will be, since file permissions mislead for root and network drives.

    Returns:
        One line if the folder cannot be written to, else none.
    """
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
