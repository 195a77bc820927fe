"""The options of a run: one model states the type, range, unit and help of each option.

The model checks the command line and the keywords of ``predict``, lists the parameters for the record, and writes the
table of the model card. Names and defaults also stand at the top of a bundle's ``inference.json``, where MONAI needs
them; a test holds the two equal.
"""

from __future__ import annotations

import textwrap
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from mrsikit.io.errors import InputError
from mrsikit.runtime.shards import read_shard

FLAG_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Sign = Literal["auto", "standard", "conjugate"]
"""Sign of FIDs: NIfTI-MRS's, the other, or the one that the FIDs show (:mod:`mrsikit.fitting.sign_test`)."""

LONGEST_DELAY = 0.05
"""Upper limit of the delay from excitation to the first sample (s)."""

Use = Literal["result", "call", "run", "files"]
"""Where an option applies. ``result``: it changes the result; ``predict`` takes it and the record holds it. ``call``:
``predict`` takes it, but the record states in another way what was used, such as the weights by their SHA-256.
``run``: only the command line takes it. ``files``: only the command line takes it, and the record holds it, because it
says which files are read."""


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    example: object = None,
    shown: str | None = None,
    use: Use = "result",
    **bounds: float,
) -> Any:
    """Describe an option of a run.

    Args:
        default: value if the user gives none.
        meaning: description for the table in the model card.
        unit: unit of a number.
        example: a valid value for error messages; None: the default.
        shown: text for the default in the table; None: the default itself.
        use: where the option applies, see :data:`Use`.
        bounds: ``gt``, ``ge``, ``lt``, ``le``, or other keywords of pydantic's Field.

    Returns:
        The field of a :class:`RunOptions`.
    """
    extra = {"unit": unit, "example": example, "shown": shown, "use": use}
    return Field(default, description=meaning, json_schema_extra=extra, **bounds)  # type: ignore[call-overload]


def as_flag(value: object, name: str) -> bool:
    """Read a yes or no option; MONAI passes ``--overwrite false`` as the string "false", which Python takes for true.

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


def flag_or(value: object, otherwise: bool) -> bool:
    """Read a yes or no option as :func:`as_flag` does; what that refuses counts as ``otherwise``.

    It is for a network, which MONAI builds before the options are checked and reported.

    Args:
        value: as of :func:`as_flag`.
        otherwise: result for a value that is neither yes nor no.

    Example:
        >>> flag_or("no", True), flag_or("perhaps", True)
        (False, True)
    """
    return FLAG_WORDS.get(str(value).strip().lower(), otherwise)


def check_device(value: object) -> None:
    """Refuse a device that torch does not know or that is not available.

    Args:
        value: the option ``device`` as given, a name such as ``cpu`` or ``cuda:0``, or a ``torch.device``.

    Raises:
        InputError: torch cannot use the device.
    """
    import torch  # here, because it takes seconds and the help of a command does not need it

    try:
        torch.empty(1, device=torch.device(str(value)))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"--device {value}: is not available here ({str(error).splitlines()[0][:90]}); give --device cpu, or leave "
            "the option out"
        ) from error


def check_path_option(value: object, name: str) -> None:
    """Refuse a path that MONAI's config parser has changed or would change.

    Args:
        value: the option as the config holds it.
        name: name of the option, for the message.

    Raises:
        InputError: the value is missing, is no path, or contains ``#`` or ``::``.
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


def _flag(value: object, info: ValidationInfo) -> bool:
    return as_flag(value, str(info.field_name))


def _optional_flag(value: object, info: ValidationInfo) -> bool | None:
    return None if value is None else as_flag(value, str(info.field_name))


def _path(value: object, info: ValidationInfo) -> object:
    check_path_option(value, str(info.field_name))
    return value


def _optional_path(value: object, info: ValidationInfo) -> object:
    return None if value is None else _path(value, info)


def _shard(value: object) -> object:
    read_shard(value)
    return value


def _device(value: object) -> object:
    check_device(value)
    return value


def _whole(value: object) -> object:
    """Turn True and 1.0 into text, because Python would accept them as the choice 1."""
    return str(value) if isinstance(value, bool | float) else value


Flag = Annotated[bool, BeforeValidator(_flag)]
OptionalFlag = Annotated[bool | None, BeforeValidator(_optional_flag)]
FolderPath = Annotated[Any, AfterValidator(_path)]
OptionalPath = Annotated[Any, AfterValidator(_optional_path)]
Device = Annotated[Any, AfterValidator(_device)]
ShardText = Annotated[Any, AfterValidator(_shard)]
Text = Annotated[str, BeforeValidator(str)]
WHOLE = BeforeValidator(_whole)
"""Annotation for a choice of whole numbers; it rejects True and 1.0."""


class RunOptions(BaseModel):
    """Options that every bundle has; a bundle's own model extends them.

    A config builds this model without checks, by ``model_construct``, so that wrong values do not stop MONAI with a
    traceback. :func:`mrsikit.runtime.check_inputs` then reports its :meth:`problems`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    dataset_dir: FolderPath = option(
        None, "folder of the inputs, or a datalist in JSON", shown="must be given", use="run"
    )
    output_dir: FolderPath = option(None, "folder of the outputs", shown="`eval` in the bundle's folder", use="run")
    overwrite: Flag = option(
        False, "compute again what is done; else a second run does only what is missing", use="run"
    )
    skip_invalid: Flag = option(
        False, "leave bad files out and list them in `summary.csv`; else nothing runs while one is bad", use="run"
    )
    dry_run: Flag = option(False, "`true`: list what the run finds and check it, then end", use="run")
    shard: ShardText = option(
        None,
        "`2/40`: only the second of 40 shares of the cases, so that 40 jobs share one folder",
        shown="all",
        use="run",
    )
    report: OptionalFlag = option(
        None,
        "`false`: no `report.html`, only `summary.csv`",
        shown="`true`; with `--shard`, `false`",
        example=True,
        use="run",
    )
    figures: int = option(50, "most inputs that `report.html` draws; 0: none", ge=0, use="run")
    weights: Any = option(None, "your own weights", shown="`models/model.pt`", use="call")
    device: Device = option(None, "`cpu`, `cuda`, `cuda:1`", shown="GPU if there is one", use="call")

    def problems(self, context: Mapping[str, object] | None = None) -> list[str]:
        """Check the values.

        Args:
            context: further information that the validation rules need.

        Returns:
            One line per problem: what is wrong and what would be right.
        """
        return self.problems_of(dict(self), context)

    @classmethod
    def problems_of(cls, given: Mapping[str, object], context: Mapping[str, object] | None = None) -> list[str]:
        """Check some values as :meth:`problems` does; the options that are not given have their defaults."""
        try:
            cls.model_validate(dict(given), context=dict(context or {}))
        except ValidationError as error:
            return cls._problems(error)
        return []

    @classmethod
    def keywords(cls, given: Mapping[str, object], context: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Check the keywords of ``predict``.

        Args:
            given: the keywords by name.
            context: see :meth:`problems`.

        Returns:
            The given keywords, with yes or no options as bool.

        Raises:
            InputError: a keyword is unknown or its value is wrong.
        """
        known = [name for name in cls.model_fields if cls._extra(name)["use"] not in ("run", "files")]
        if unknown := sorted(set(given) - set(known)):
            raise InputError(f"unknown option {', '.join(unknown)}; the options are {', '.join(known)}")
        try:
            checked = cls.model_validate(dict(given), context=dict(context or {}))
        except ValidationError as error:
            raise InputError(cls._problems(error)[0]) from None
        return {name: getattr(checked, name) for name in given}

    def record(self) -> dict[str, Any]:
        """Return the options that change the result, by name, with the values they were given."""
        kept = [name for name in type(self).model_fields if self._extra(name)["use"] in ("result", "files")]
        values = {name: getattr(self, name) for name in kept}
        # MONAI passes "--check false" as a string.
        words = {"true": True, "false": False}
        return {
            name: words.get(value.lower(), value) if isinstance(value, str) else value for name, value in values.items()
        }

    @classmethod
    def table(cls) -> str:
        """Return the options as a Markdown table: first the bundle's own, then those that all bundles have."""
        rows = [
            f"| `--{name}` | {cls._shown(name)} | {cls._range(name)} | {cls.model_fields[name].description} |"
            for name in cls._in_order()
        ]
        return "\n".join(["| option | default | values | meaning |", "|---|---|---|---|", *rows])

    @classmethod
    def help_text(cls, width: int = 100, *, without: Sequence[str] = ()) -> str:
        """Return the options as text for a terminal, in the order of :meth:`table`.

        Args:
            width: longest line.
            without: options to leave out.
        """
        names = [name for name in cls._in_order() if name not in without]
        return "\n".join(line for name in names for line in cls._help_of(name, width))

    @classmethod
    def _help_of(cls, name: str, width: int) -> list[str]:
        about = "; ".join(part for part in (cls._range(name), f"default {cls._shown(name)}") if part)
        meaning = f"{cls.model_fields[name].description}"
        wrapped = [textwrap.wrap(text.replace("`", ""), width - 6) for text in (about, meaning)]
        return [f"  --{name}", *(f"      {line}" for text in wrapped for line in text)]

    @classmethod
    def _in_order(cls) -> list[str]:
        """The bundle's own options, then those that all bundles have."""
        own = [name for name in cls.model_fields if name not in RunOptions.model_fields]
        return [*own, *RunOptions.model_fields]

    @classmethod
    def _extra(cls, name: str) -> dict[str, Any]:
        extra = cls.model_fields[name].json_schema_extra
        return extra if isinstance(extra, dict) else {}

    @classmethod
    def _shown(cls, name: str) -> str:
        default, shown = cls.model_fields[name].default, cls._extra(name)["shown"]
        if shown is not None:
            return str(shown)
        return "none" if default is None else str(default).lower() if isinstance(default, bool) else f"{default}"

    @classmethod
    def _range(cls, name: str) -> str:
        choices, number = _choices(cls.model_fields[name]), _number(cls.model_fields[name], cls._extra(name)["unit"])
        return ", ".join(choices) if choices else number

    @classmethod
    def _problems(cls, error: ValidationError) -> list[str]:
        """Describe what pydantic found, a line per problem. A rule of our own writes its lines itself, one or more."""
        lines: list[str] = []
        for found in error.errors(include_url=False):
            if found["type"] == "value_error":
                lines += str(found["ctx"]["error"]).split("\n")
            else:
                lines.append(cls._line(str(found["loc"][0]), found))
        return lines

    @classmethod
    def _line(cls, name: str, error: Mapping[str, Any]) -> str:
        """Describe a problem with the kind or range of a value in one line."""
        if name not in cls.model_fields:
            return f"--{name}: is no option of this bundle; the options are {', '.join(cls.model_fields)}"
        field, extra = cls.model_fields[name], cls._extra(name)
        if choices := _choices(field):
            return f"--{name} {error['input']}: is none of {', '.join(choices)}"
        example = field.default if extra["example"] is None else extra["example"]
        return f"--{name} {error['input']}: is no {_number(field, extra['unit'])}; give for example --{name} {example}"


def _choices(field: FieldInfo) -> list[str]:
    """Return the values a field may take as text; empty if it is no choice and no yes or no option."""
    found = [field.annotation, *get_args(field.annotation)]
    listed = [str(value) for part in found if get_origin(part) is Literal for value in get_args(part)]
    return listed or (["true", "false"] if bool in found else [])


def _number(field: FieldInfo, unit: str) -> str:
    """Describe the kind, range and unit of a number; empty if the field is no number."""
    optional = get_origin(field.annotation) in (Union, types.UnionType)
    kinds = get_args(field.annotation) if optional else (field.annotation,)
    if not {int, float} & set(kinds):
        return ""
    words = {Gt: "above", Ge: "from", Lt: "below", Le: "at most"}
    bounds = [
        f"{word} {getattr(bound, kind.__name__.lower()):.15g}"
        for kind, word in words.items()
        for bound in field.metadata
        if isinstance(bound, kind)
    ]
    kind = "whole number" if int in kinds else "number"
    return " ".join([kind, " and ".join(bounds)]).strip() + (f", in {unit}" if unit else "")
