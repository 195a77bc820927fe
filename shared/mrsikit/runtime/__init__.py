"""Services that every run of a bundle needs: inputs, options, input checks, provenance records and the report."""

from mrsikit.runtime.checks import check_inputs
from mrsikit.runtime.command_line import check_command_line
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.options import RunOptions, as_flag

__all__ = ["InputFolder", "RunOptions", "as_flag", "check_command_line", "check_inputs"]
