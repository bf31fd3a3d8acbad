"""What all command-line tools share."""

from __future__ import annotations

import sys
from typing import Callable

from tfpose_mm.host import explain

USER_ERRORS = (ValueError, FileNotFoundError, FileExistsError)


def run(main: Callable[[], int | None]) -> None:
    """Run a tool and leave Python with its exit status.

    An error that the user can mend is printed as its sentence, without a traceback, and exits with 2; any other error
    keeps its traceback, with the remedy behind it if it is a known failure of the host packages.

    Args:
        main: The tool; it returns an exit status, ``None`` for success.
    """
    try:
        status = main()
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except Exception as error:
        problem = explain(error)
        if problem is not None:
            print(f"remedy: {problem}", file=sys.stderr)
        raise
    sys.exit(status or 0)
