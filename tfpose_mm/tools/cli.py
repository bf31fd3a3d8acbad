"""What all command-line tools share."""

from __future__ import annotations

import argparse
import sys
from typing import Callable

from mmengine.config import DictAction

import tfpose_mm.safe_loading  # noqa: F401 - no command runs code in a checkpoint

from ..errors import UserError
from ..host.requirements import explain


def run(main: Callable[[], int | None]) -> None:
    """Run a tool and end the process with its exit status.

    A :class:`UserError` is printed as one sentence, and the exit status is 2. Any other error keeps its traceback; if
    it is a known issue of the host packages, its fix is printed first.

    Args:
        main: The tool; it returns an exit status, ``None`` for success.
    """
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        problem = explain(error)
        if problem is not None:
            print(f"fix: {problem}", file=sys.stderr)
        raise
    sys.exit(status or 0)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with the docstring of the tool's module.

    Args:
        doc: The docstring.

    Returns:
        The parser, without arguments.
    """
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Give a tool mim's option ``--cfg-options``.

    Args:
        parser: The tool's parser.
    """
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="changes to the config, as in mim: key=value"
    )


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Give a tool the option ``--logs``.

    Args:
        parser: The tool's parser.
    """
    parser.add_argument(
        "--logs",
        nargs="+",
        metavar="LABEL=FOLDER",
        default=[],
        help="work directories of trainings; those that differ only in their seed have the same label",
    )


def read_logs(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line of a tool with ``--logs``.

    Args:
        parser: The tool's parser.

    Returns:
        The arguments; ``logs`` has pairs of label and folder.
    """
    args = parser.parse_args()
    if not all("=" in text for text in args.logs):
        parser.error(f"--logs must have the form LABEL=FOLDER, but got {' '.join(args.logs)}")
    args.logs = [tuple(text.split("=", 1)) for text in args.logs]
    return args


def not_negative(text: str) -> int:
    """A whole number of 0 or more, for ``type=`` of an argument.

    Args:
        text: What the user wrote.

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: If it is not one.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it must be a whole number of 0 or more, but got {text!r}")
    return int(text)


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
