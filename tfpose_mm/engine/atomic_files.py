"""Write files so that each is complete or absent, also if the process is killed or the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.fileio import register_backend
from mmengine.fileio.backends import LocalBackend

PART = ".part"  # end of the names of files that are being written


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write a temporary file beside the target, wait until it is on the disk, and give it the name of the target.

    The folder is made if it does not exist. An OSError, as on a full disk, leaves the target unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class AtomicBackend(LocalBackend):
    """MMEngine's backend of local files with :func:`write_atomic`; it removes old files after the next one is written.

    ``CheckpointHook`` removes the oldest checkpoint first. With this backend there is a complete one at any time::

        default_hooks = dict(checkpoint=dict(type="CheckpointHook", backend_args=dict(backend="atomic")))
    """

    _outdated: dict[Path, set[Path]] = {}  # noqa: RUF012 - MMEngine makes a backend for each call; all share this

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, see :func:`write_atomic`, then remove the outdated files of its folder."""
        path = Path(filepath).absolute()
        write_atomic(path, obj)
        for outdated in self._outdated.pop(path.parent, set()) - {path}:
            outdated.unlink(missing_ok=True)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file after the next one is written in its folder."""
        path = Path(filepath).absolute()
        self._outdated.setdefault(path.parent, set()).add(path)


register_backend("atomic", AtomicBackend, force=True)
