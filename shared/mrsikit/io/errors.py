"""The error that library code raises for input it cannot use."""


class InputError(ValueError):
    """Input that cannot be used.

    The message is one line: which file or option, what is wrong, and what would be right. Library code raises it.
    Only what checks a run before it starts turns it into an exit of the program: :func:`mrsikit.runtime.check_inputs`
    and, for trainings, :func:`mrsikit.runtime.training.check_packages`.
    """
