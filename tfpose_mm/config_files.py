"""Find and read configs: those that the package ships, those of MMPose, and the user's own."""

from __future__ import annotations

import argparse
import difflib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError, need_file
from .host.requirements import HostError

if TYPE_CHECKING:
    from mmengine.config import Config  # it imports torch, which `tfpose --help` does not need

_PACKAGE = Path(__file__).parent
_LOCK = threading.Lock()  # MMEngine reads `mmpose::` bases with functions that threads must not run at once
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
            f"{name} is neither a file nor a packaged config: check the path, or choose a name that configs/README.md "
            f"lists, for example {', '.join(similar)}."
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
    from mmengine.config import Config

    return Config.fromfile(str(config_path(name)))


def read_config(config: str | Path | Config, cfg_options: Mapping[str, Any] | Sequence[str] | None = None) -> Config:
    """Read the config of a top-down estimator and change it as ``--cfg-options`` does.

    Args:
        config: The config; its path; for one of MMPose, ``mmpose::path``; for one of this package, its name.
        cfg_options: Values by their dotted keys, or ``key=value`` texts as on mim's command line.

    Returns:
        The config, a copy.

    Raises:
        UserError: If there is no such file, if it is not a config of a top-down estimator, or if an option has no
            ``=``.
    """
    cfg = _read(config)
    try:
        cfg.merge_from_dict(parse_cfg_options(cfg_options))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"--cfg-options do not fit the config ({type(error).__name__}: {error}): correct them."
        ) from error
    model = cfg.get("model") or {}
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != "TopdownPoseEstimator":
        raise UserError(
            f"{config if isinstance(config, (str, Path)) else 'The config'} builds "
            f"{'no model' if kind is None else 'a ' + kind}, but this command needs a config whose model is a "
            "TopdownPoseEstimator: choose one of configs/, not of configs/_base_."
        )
    return cfg


def _read(config: str | Path | Config) -> Config:
    from mmengine.config import Config

    if isinstance(config, Config):
        return config.copy()
    with _LOCK:
        return _read_file(config)


def _read_file(config: str | Path) -> Config:
    from mmengine.config import Config
    from mmengine.hub import get_config as get_host_config

    if "::" in str(config):
        try:
            return get_host_config(str(config))
        except (ValueError, FileNotFoundError, ImportError) as error:
            raise UserError(f"{config} is not a config of an installed package ({error}): check its name.") from error
    is_name = not Path(config).exists() and (str(config) in list_configs() or not Path(config).suffix)
    path = config_path(str(config)) if is_name else config
    need_file("config", path, "give a path relative to the current folder")
    if Path(path).suffix not in (".py", ".json", ".yml", ".yaml"):
        raise UserError(f"{path} is not a config: MMEngine reads .py, .json and .yaml files.")
    try:
        return Config.fromfile(str(path))
    except (UserError, HostError):
        raise
    except Exception as error:  # a config is a program
        raise UserError(f"The config {path} cannot be read ({type(error).__name__}: {error}): correct it.") from error


def parse_cfg_options(cfg_options: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Parse options as mim does.

    Args:
        cfg_options: Values by their dotted keys, or ``key=value`` texts.

    Returns:
        Values by their dotted keys.

    Raises:
        UserError: If a text has no ``=``.
    """
    from mmengine.config import DictAction

    if not cfg_options:
        return {}
    if isinstance(cfg_options, Mapping):
        return dict(cfg_options)
    wrong = [text for text in cfg_options if "=" not in text or text.startswith("-")]
    if wrong:
        raise UserError(f"--cfg-options must have the form key=value, but got {wrong[0]}.")
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    try:
        return parser.parse_args(["--cfg-options", *cfg_options]).cfg_options
    except AssertionError as error:  # brackets that are not closed
        raise UserError(f"--cfg-options cannot be read ({error}): correct them.") from error


def _paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(CONFIGS.rglob("*.py")) if "_base_" not in path.parts}
