"""What every run of a bundle needs: inputs, options and checks before it, the record and the report after it."""

from mrsikit.runtime.checks import check_inputs
from mrsikit.runtime.inputs import InputFolder
from mrsikit.runtime.options import RunOptions, as_flag

__all__ = ["InputFolder", "RunOptions", "as_flag", "check_inputs"]
