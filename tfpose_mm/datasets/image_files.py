"""Find missing files without a system call for each file."""

from __future__ import annotations

import os
from collections.abc import Iterable


def missing_files(paths: Iterable[str]) -> set[str]:
    """Return the paths that do not exist; each folder is listed once.

    Args:
        paths: Local paths. A path of a folder counts as existing.

    Returns:
        The missing paths, and paths in folders that cannot be listed.
    """
    names: dict[str, set[str]] = {}
    missing = set()
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in names:
            names[folder] = _names(folder)
        if name not in names[folder] and not _exists(path):
            missing.add(path)
    return missing


def _names(folder: str) -> set[str]:
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries}
    except (OSError, ValueError):  # ValueError: a null character
        return set()


def _exists(path: str) -> bool:
    """Whether a file exists that is not in the list: on a file system that ignores case, or in a hidden folder."""
    try:
        return os.path.exists(path)
    except ValueError:
        return False
