"""Whether this process is a command of this package."""

from __future__ import annotations

import multiprocessing
import os
import sys
import sysconfig


def is_command_line() -> bool:
    """Whether this process is ``tfpose`` or ``python -m tfpose_mm``.

    Such a process imports torch and MMPose only for the commands that need them: ``tfpose --help`` answers at once, and
    ``tfpose check-env`` works without them. If in doubt, as with Python 3.9 and ``-m``, the answer is no, which is slow
    and otherwise right. Worker processes are not commands.
    """
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":  # until Python has found the module
        arguments = getattr(sys, "orig_argv", [])
        found = "-m" in arguments and arguments[arguments.index("-m") + 1 :][:1] == ["tfpose_mm"]
    else:
        folders = (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", "posix_user"))
        scripts = [os.path.join(folder, "tfpose") for folder in folders]
        found = os.path.basename(program) == "tfpose" and os.path.abspath(program) in scripts
    return found and multiprocessing.parent_process() is None
