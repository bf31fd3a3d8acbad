"""Find missing files without a system call for each file, and guess what a wrong name means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

LARGEST = 32766  # longest side of an image that OpenCV's warpAffine takes, in pixels


def missing_files(paths: Iterable[str]) -> set[str]:
    """Return the local paths that do not exist; each folder is listed once, and a folder counts as existing."""
    paths = set(paths)
    folders = {os.path.dirname(path) for path in paths}
    names = {folder: set(os.listdir(folder or ".")) for folder in folders if os.path.isdir(folder or ".")}
    absent = {path for path in paths if os.path.basename(path) not in names.get(os.path.dirname(path), ())}
    return {path for path in absent if not os.path.exists(path)}  # some file systems ignore case


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
    name = unquote(name).replace("\\", "/").rpartition("?d=")[2].rpartition("://")[2]
    parts = [part for part in name.split("/") if part not in ("", ".")]
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    for tail in [*tails, *(re.sub(r"^[0-9a-f]{8}-", "", last) for last in parts[-1:])]:
        if os.path.exists(os.path.join(folder, tail)) and os.path.join(folder, tail) != path:
            return tail
    return None


def missing_image(path: str, folder: str) -> str:
    """How to fix a missing image of a folder."""
    meant = likely_name(path, folder)
    if meant is None:
        return "correct data_root or data_prefix in the config, or copy the images"
    return f"probably '{meant}' is meant, which exists: correct file_name in the annotation file"
