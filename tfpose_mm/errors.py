"""Errors that the user can fix."""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """An error that the user can fix: one sentence with what was expected, what was given and how to fix it."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that the user named does not exist."""


def need_file(what: str, path: str | Path, fix: str) -> None:
    """Check that a file exists.

    Args:
        what: What the file is, for the message.
        path: The file.
        fix: How the user can fix it.

    Raises:
        UserError: If the file does not exist.
    """
    if not Path(path).is_file():
        raise UserError(f"The {what} {path} does not exist: {fix}.")


def need_at_least(lowest: int, **values: int | None) -> None:
    """Check whole numbers that a user gave.

    Args:
        lowest: The lowest number that is allowed.
        **values: The numbers by the names of their arguments; ``None`` is allowed.

    Raises:
        UserError: If a number is lower.
    """
    for name, value in values.items():
        if value is not None and value < lowest:
            raise UserError(f"{name.replace('_', '-')} must be {lowest} or more, but got {value}.")
