"""What the command lines of the benchmarks share."""

from __future__ import annotations

import argparse
import sys
from typing import Callable

import tfpose_mm.safe_loading  # noqa: F401 - no command runs code in a checkpoint
from tfpose_mm.errors import UserError


def run(main: Callable[[], int | None]) -> None:
    """Run a command and end the process with its exit status.

    A :class:`UserError` is printed as one sentence, and the exit status is 2.

    Args:
        main: The command; it returns an exit status, ``None`` for success.
    """
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with the docstring of a module.

    Args:
        doc: The docstring.

    Returns:
        The parser, without arguments.
    """
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def positive(text: str) -> int:
    """A whole number above 0, for ``type=`` of an argument.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: If it is not one.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it must be a whole number above 0, but got {text!r}")
    return int(text)
