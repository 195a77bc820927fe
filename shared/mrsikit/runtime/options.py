"""Read the options of ``python -m monai.bundle run`` the way a user means them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import torch
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ConfigWorkflow

from mrsikit.io.errors import InputError
from mrsikit.io.readers import is_affine

FLAG_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
TRACKING_OPTIONS = ("tracking_uri", "experiment_name", "run_name", "save_execute_config", "output_dir")


def as_flag(value: object, name: str) -> bool:
    """Read a yes or no option; MONAI hands ``--overwrite false`` over as the string "false", which is truthy.

    Args:
        value: a bool, 0, 1, or one of true, false, yes, no, 0, 1 as text in any case.
        name: name of the option, for the message.

    Returns:
        The flag.

    Raises:
        InputError: the value is none of these.

    Example:
        >>> as_flag("false", "overwrite")
        False
    """
    word = str(value).strip().lower()
    if word not in FLAG_WORDS:
        raise InputError(f"--{name} {value}: is neither true nor false; give --{name} true or --{name} false")
    return FLAG_WORDS[word]


def check_positive(value: object, name: str) -> None:
    """Refuse an option that is neither None nor a finite number above zero.

    Args:
        value: the option as given.
        name: name of the option, for the message.

    Raises:
        InputError: the value is no such number.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"--{name} {value}: is no number above zero; give for example --{name} 20")


def check_affine(matrix: np.ndarray, name: str) -> None:
    """Refuse a matrix that does not lead from voxel to mm.

    Args:
        matrix: as given.
        name: of the argument, for the message.

    Raises:
        InputError: it is not 4 x 4, finite and invertible.
    """
    if not is_affine(matrix):
        raise InputError(f"{name} must be an invertible 4 x 4 matrix from voxel to mm")


def check_share(value: object, name: str) -> None:
    """Refuse an option that is no number above 0 and at most 1.

    Args:
        value: the option as given.
        name: name of the option, for the message.

    Raises:
        InputError: the value is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InputError(f"--{name} {value}: is no number above 0 and at most 1; give for example --{name} 0.9")


def check_device(value: object) -> None:
    """Refuse a device that torch does not know or that is not there.

    Args:
        value: the option ``device`` as given, a name such as ``cpu`` or ``cuda:0``, or a ``torch.device``.

    Raises:
        InputError: there is no such device.
    """
    try:
        torch.empty(1, device=torch.device(str(value)))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"--device {value}: is not to be had here ({str(error).splitlines()[0][:90]}); give --device cpu, or leave "
            "the option out"
        ) from error


def check_weights(path: object, network: torch.nn.Module) -> None:
    """Refuse a file that does not hold the weights of a network.

    Args:
        path: the option ``weights`` as given.
        network: the network the weights are for.

    Raises:
        InputError: there is no such file, it holds no state dict, or that of another network.
    """
    try:
        state = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        what = "does not exist" if not Path(str(path)).is_file() else "is no file of weights"
        raise InputError(f"--weights {path}: {what}; give a state dict, such as models/model.pt") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {n: tuple(getattr(t, "shape", ())) for n, t in state.items()} if isinstance(state, Mapping) else {}
    if found != wanted:
        raise InputError(
            f"--weights {path}: holds weights of another network ({len(wanted.items() & found.items())} of "
            f"{len(wanted)} tensors fit); give weights trained by this bundle's train.json"
        )


def check_path_option(value: object, name: str) -> None:
    """Refuse a path that MONAI's config parser has spoilt or would spoil.

    Args:
        value: the option as the config holds it.
        name: name of the option, for the message.

    Raises:
        InputError: the value is missing, no path, or holds ``#`` or ``::``.
    """
    if value is None:
        raise InputError(f"{name} is not given; add --{name} and a path")
    if not isinstance(value, str | int | Path) or isinstance(value, bool):
        raise InputError(f"--{name} {value}: is no path; write one path, in quotes if it holds a comma")
    if "::" in str(value) or "#" in str(value):
        raise InputError(
            f"--{name} {value}: MONAI turns '#' into '::' in every config value, so a path can hold neither; "
            "rename the folder"
        )


def unknown_options(arguments: Sequence[str]) -> list[str]:
    """Find options of a ``monai.bundle`` command line that no config file knows.

    MONAI adds an unknown ``--dataset_dirr`` to the config and goes on without a word.

    Args:
        arguments: ``sys.argv`` of the process.

    Returns:
        One line an unknown option, with the nearest known ones, and one a plain value given for a part of the config
        (``--dataset maps``). None if the process was not started by
        ``python -m monai.bundle run`` (or ``run_workflow``), or if all is known.
    """
    if Path(arguments[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or len(arguments) < 2:
        return []
    commands = {"run": (monai.bundle.run,), "run_workflow": (monai.bundle.run_workflow, ConfigWorkflow.__init__)}
    functions = commands.get(arguments[1].replace("-", "_"))
    if functions is None:
        return []
    known = {
        parameter.name
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "self"
    }
    given = _fire_options(arguments[2:])
    options = list(given)
    args_file = given.get("args_file")
    if isinstance(args_file, str):
        stored = ConfigParser.load_config_file(args_file)
        options += list(stored)
        given = stored | given
    if given.get("tracking"):
        known.update(TRACKING_OPTIONS)
    config_file: Any = given.get("config_file")
    config: dict[str, Any] = ConfigParser.load_config_files(config_file) if config_file else {}
    known.update(_top_level(key) for key in config)
    known.add(ConfigParser.meta_key)
    parts = [name for name, value in config.items() if isinstance(value, dict | list)]
    plain = [name for name in known if name not in parts]
    return [
        *(_unknown(option, known) for option in options if _top_level(option) not in known),
        *(_part(name, plain) for name in parts if name in given and _is_plain(given[name])),
    ]


def _is_plain(value: object) -> bool:
    """Whether a value could not stand for a part of a config: no object, no list, no reference."""
    return not isinstance(value, dict | list | tuple) and not str(value).startswith(("$", "@", "%"))


def _part(name: str, options: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(options), n=1, cutoff=0.6)
    hint = f"did you mean --{close[0]}?" if close else "leave it out"
    return f"--{name}: is a part of the config, not an option; {hint}"


def _unknown(option: str, known: Iterable[str]) -> str:
    name = _top_level(option)
    close = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.6)
    hint = f"did you mean --{' or --'.join(close)}?" if close else "see the top of the config file for those it knows"
    return f"--{option}: is no option of this config; {hint}"


def _top_level(key: str) -> str:
    return str(key).lstrip("+").replace("#", "::").split("::", maxsplit=1)[0]


def _is_flag(argument: str) -> bool:
    return argument.startswith("--") or (argument.startswith("-") and argument[1:2].isalpha())


def _fire_options(arguments: Sequence[str]) -> dict[str, object]:
    """Read ``--name value``, ``--name=value`` and ``--name`` the way python-fire does."""
    options: dict[str, object] = {}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument in ("-", "--"):  # fire's separators: what follows is not for the command
            break
        if not _is_flag(argument):
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if equals:
            options[name] = DefaultParseValue(value)
        elif position == len(arguments) or _is_flag(arguments[position]):
            options[name.removeprefix("no")] = not name.startswith("no")  # fire reads --noise as ise = False, too
        else:
            options[name] = DefaultParseValue(arguments[position])
            position += 1
    return options
