"""What the commands say in one sentence, where a fault of the code shows its traceback.

Of the standard library alone: ``run`` needs it before anything is installed.
"""


class Problem(Exception):
    """Something that the user can put right; the message is one sentence that says how."""


class Refused(Problem, ValueError):
    """A value or a file that will not do; nothing has been run with it."""
