"""Services that every run of a bundle needs: inputs, options, input checks, provenance records and the report.

MONAI and torch take seconds to import, so a name is imported from its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mrsikit.runtime.checks import check_inputs
    from mrsikit.runtime.command_line import check_command_line
    from mrsikit.runtime.inputs import InputFolder
    from mrsikit.runtime.options import RunOptions, as_flag

__all__ = ["InputFolder", "RunOptions", "as_flag", "check_command_line", "check_inputs"]

_MODULES = {
    "checks": ("check_inputs",),
    "command_line": ("check_command_line",),
    "inputs": ("InputFolder",),
    "options": ("RunOptions", "as_flag"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
