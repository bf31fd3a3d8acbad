"""What all command-line tools share."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import Callable, Sequence

from tfpose_mm.host import explain

USER_ERRORS = (ValueError, FileNotFoundError, FileExistsError)
PACKAGE = Path(__file__).parents[1]


def run(main: Callable[[], int | None]) -> None:
    """Run a tool and leave Python with its exit status.

    An error that the user can mend, which is one that this package raised itself, is printed as its sentence, without a
    traceback, and exits with 2. Any other error keeps its traceback, after the remedy if it is a known failure of the
    host packages.

    Args:
        main: The tool; it returns an exit status, ``None`` for success.
    """
    try:
        status = main()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raised_here = PACKAGE in Path(place.filename).parents and (place.line or "").startswith("raise ")
        if isinstance(error, USER_ERRORS) and raised_here:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        problem = explain(error)
        if problem is not None:
            print(f"remedy: {problem}", file=sys.stderr)
        raise
    sys.exit(status or 0)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with all that a tool's module says of itself.

    Args:
        doc: The module's docstring.

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


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table whose columns are aligned for a terminal, too.

    Args:
        rows: The header, then the rows, with as many cells each.

    Returns:
        A line for each row, and the rule after the header.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines
