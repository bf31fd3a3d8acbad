"""Find missing files without a system call for each file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

LARGEST = 32766  # longest side of an image that OpenCV's warpAffine takes, in pixels


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


def likely_name(path: str, folder: str) -> str | None:
    """Guess what a file name means that an annotation tool has written.

    Tools write backslashes, ``%2F``, prefixes of a storage (``s3://bucket/``, ``?d=``), absolute paths of another
    machine, or a number before the name (``3f2a1b4c-name.jpg``).

    Args:
        path: The path that does not exist.
        folder: The folder of the images.

    Returns:
        The name in the folder that exists, ``None`` if no guess does.
    """
    name = path[len(folder) :] if path.startswith(os.path.join(folder, "")) else path
    name = unquote(name).replace("\\", "/").rpartition("?d=")[2]
    parts = [part for part in name.partition("://")[2].split("/") or () if part] if "://" in name else name.split("/")
    parts = [part for part in parts if part not in ("", ".")]
    tails = [parts[start:] for start in range(len(parts))]
    short = re.sub(r"^[0-9a-f]{8}-", "", parts[-1]) if parts else ""
    for tail in [*tails, [short]] if short else tails:
        if _exists(os.path.join(folder, *tail)) and os.path.join(folder, *tail) != path:
            return "/".join(tail)
    return None
