"""Errors that the user can fix."""

from __future__ import annotations


class UserError(ValueError):
    """An error that the user can fix: one sentence with what was expected, what was given and how to fix it."""


class MissingFileError(UserError, FileNotFoundError):
    """A file that the user named does not exist."""
