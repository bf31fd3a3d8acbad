"""Find the configs that the package ships."""

from __future__ import annotations

import difflib
from pathlib import Path

from mmengine.config import Config

from .errors import UserError

_PACKAGE = Path(__file__).parent
# In a clone the configs are beside the package; in an installed package they are where mim looks for them.
CONFIGS = next(
    (folder for folder in (_PACKAGE.parent / "configs", _PACKAGE / ".mim/configs") if (folder / "_base_").is_dir()),
    _PACKAGE.parent / "configs",
)


def list_configs() -> list[str]:
    """Names of all packaged configs, sorted: file names without ending, as ``tfpose_r50_coco_256x192``."""
    return sorted(_paths())


def config_path(name: str) -> Path:
    """Path of a packaged config.

    Args:
        name: A name of :func:`list_configs`; an ending ``.py`` is accepted.

    Returns:
        The file.

    Raises:
        UserError: If there is no such config; the message names similar ones.
    """
    paths = _paths()
    key = name[: -len(".py")] if name.endswith(".py") else name
    if key not in paths:
        similar = difflib.get_close_matches(key, paths, n=3) or list(paths)[:3]
        raise UserError(
            f"{name} is neither a file nor a packaged config: check the path, or choose a name of "
            f"tfpose_mm.list_configs(), for example {', '.join(similar)}."
        )
    return paths[key]


def get_config(name: str) -> Config:
    """Load a packaged config.

    Args:
        name: A name of :func:`list_configs`.

    Returns:
        The config; it can be changed.

    Raises:
        UserError: If there is no such config.
    """
    return Config.fromfile(str(config_path(name)))


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(CONFIGS.rglob("*.py")) if "_base_" not in path.parts}
