"""The command line of ``python -m monai.bundle run``: find options that no config knows."""

from __future__ import annotations

import difflib
import inspect
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ConfigWorkflow

logger = logging.getLogger(__name__)

TRACKING_OPTIONS = ("tracking_uri", "experiment_name", "run_name", "save_execute_config", "output_dir")


def unknown_options(arguments: Sequence[str]) -> list[str]:
    """Find options of a ``monai.bundle`` command line that no config file knows.

    MONAI itself silently adds an unknown option such as ``--dataset_dirr`` to the config.

    Args:
        arguments: ``sys.argv`` of the process.

    Returns:
        One line per unknown option, which suggests the nearest known ones, and one line per plain value given for a
        section of the config (``--dataset maps``). Empty if all options are known, or if the process was not started
        by ``python -m monai.bundle run`` (or ``run_workflow``).
    """
    if not is_monai_bundle(arguments):
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


PATHS = ("dataset_dir", "output_dir", "weights", "bundle_root")


def changed_paths(arguments: Sequence[str]) -> list[str]:
    """Find paths of a ``monai.bundle`` command line that are read as another value than was typed.

    ``2024_02_01`` and ``007`` are read as numbers: the outputs would lie in another folder.

    Args:
        arguments: ``sys.argv`` of the process.

    Returns:
        One line per path. Empty if the process was not started by ``python -m monai.bundle``.
    """
    if not is_monai_bundle(arguments):
        return []
    typed = _typed_options(arguments[2:])
    return [
        f"--{name} {text}: is read as the value {DefaultParseValue(text)}; write --{name} ./{text}"
        for name, text in typed.items()
        if name in PATHS and isinstance(text, str) and str(DefaultParseValue(text)) != text
    ]


def stray_words(arguments: Sequence[str]) -> list[str]:
    """Find words of a ``monai.bundle`` command line that belong to no option, as ``tCr`` in ``--metabolites NAA tCr``.

    MONAI takes such a word for the name of another list of steps.

    Args:
        arguments: ``sys.argv`` of the process.

    Returns:
        One line per word. Empty if the process was not started by ``python -m monai.bundle run``.
    """
    if not is_monai_bundle(arguments) or arguments[1] != "run":
        return []
    lines, before, open_option = [], "", False
    for argument in arguments[2:]:
        if _is_flag(argument):
            before, open_option = argument, "=" not in argument
        elif open_option:
            open_option, first = False, argument
        elif before:
            listed = f"\"['{first}','{argument}']\"" if "=" not in before else "\"['...','...']\""
            lines.append(f"{argument}: belongs to no option; write several values as one list: {before} {listed}")
    return lines


def check_command_line() -> None:
    """Log each word that belongs to no option and end the program; it stands in ``initialize``, before MONAI uses it.

    Raises:
        SystemExit: with code 1, if there is such a word.
    """
    lines = stray_words(sys.argv)
    for line in lines:
        logger.error("%s", line)
    if lines:
        raise SystemExit(1)


def is_monai_bundle(arguments: Sequence[str]) -> bool:
    """Whether arguments are those of ``python -m monai.bundle``."""
    return Path(arguments[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and len(arguments) > 1


def _is_plain(value: object) -> bool:
    """Whether a value cannot replace a section of a config, because it is no object, list or reference."""
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
    typed = _typed_options(arguments)
    return {name: DefaultParseValue(value) if isinstance(value, str) else value for name, value in typed.items()}


def _typed_options(arguments: Sequence[str]) -> dict[str, str | bool]:
    """Return the text of each option as typed; True or False for an option without a value."""
    options: dict[str, str | bool] = {}
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        position += 1
        if argument in ("-", "--"):  # fire's separators: what follows does not belong to the command
            break
        if not _is_flag(argument):
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if equals:
            options[name] = value
        elif position == len(arguments) or _is_flag(arguments[position]):
            options[name.removeprefix("no")] = not name.startswith("no")  # fire also reads --noise as ise = False
        else:
            options[name] = arguments[position]
            position += 1
    return options
