"""Errors that the user can fix."""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """An error that the user can fix: one sentence with what was expected, what was given and how to fix it."""

    def __str__(self) -> str:
        """The sentence, without the traceback in which torch puts it if a worker of a data loader raised it."""
        text = super().__str__()
        return text.splitlines()[-1].partition(": ")[2] if text.startswith("Caught ") else text


class MissingFileError(UserError, FileNotFoundError):
    """A file that the user named does not exist."""


def need_file(what: str, path: str | Path, fix: str) -> None:
    """Raise a UserError if a file does not exist; the message says what the file is and how the user can fix it."""
    if not Path(path).is_file():
        raise UserError(f"The {what} {path} does not exist: {fix}.")


def need_new(*paths: str | Path) -> None:
    """Raise a UserError if a file or folder that would be written exists."""
    for path in map(Path, paths):
        if path.exists():
            raise UserError(f"{path} exists already: delete it or choose another name; nothing was changed.")


def need_at_least(lowest: int, **values: int | None) -> None:
    """Raise a UserError if one of these arguments, by their names, is lower; ``None`` is allowed."""
    for name, value in values.items():
        if value is not None and value < lowest:
            raise UserError(f"{name.replace('_', '-')} must be {lowest} or more, but got {value}.")
