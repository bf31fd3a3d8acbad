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
    """Path of a packaged config; its name may end in ``.py``. A UserError for another name names similar ones."""
    paths = _paths()
    key = name.removesuffix(".py")
    if key not in paths:
        similar = [*filter(lambda path: path.startswith(key), paths), *difflib.get_close_matches(key, paths, n=3)]
        similar = [*dict.fromkeys(similar or paths)][:3]
        raise UserError(
            f"{name} is neither a file nor a packaged config: check the path, or choose a name that configs/README.md "
            f"lists, for example {', '.join(similar)}."
        )
    return paths[key]


def config_name(cfg: Config) -> str:
    """Name of a config in tables and titles: of its file, or of its folder if the file is ``config.py``."""
    path = Path(cfg.filename or "config").absolute()
    return path.parent.name if path.name == "config.py" else path.stem


def get_config(name: str) -> Config:
    """Load a packaged config by a name of :func:`list_configs`."""
    from mmengine.config import Config

    return Config.fromfile(str(config_path(name)))


def read_config(config: str | Path | Config, cfg_options: Mapping[str, Any] | Sequence[str] | None = None) -> Config:
    """Read the config of a top-down estimator and change it as ``--cfg-options`` does.

    Args:
        config: The config; its path; for one of MMPose, ``mmpose::path``; for one of this package, its name.
        cfg_options: Values by their dotted keys, or ``key=value`` texts as on mim's command line.

    Returns:
        The config, a copy. A UserError refuses another kind of config, and options that do not fit.
    """
    from mmengine.config import Config

    if isinstance(config, Config):
        cfg = config.copy()
    else:
        with _LOCK:
            cfg = _read_file(str(config))
    try:
        cfg.merge_from_dict(parse_cfg_options(cfg_options))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"--cfg-options do not fit the config ({type(error).__name__}: {error}): correct them."
        ) from error
    model = cfg.get("model") or {}
    kind = model.get("type") if isinstance(model, dict) else None
    kind = getattr(kind, "__name__", kind)  # a class in MMEngine's pure Python configs
    if kind != "TopdownPoseEstimator":
        raise UserError(
            f"{config if isinstance(config, (str, Path)) else 'The config'} builds "
            f"{'no model' if kind is None else 'a ' + kind}, but this command needs a config whose model is a "
            "TopdownPoseEstimator: choose one of configs/, not of configs/_base_."
        )
    return cfg


def _read_file(config: str) -> Config:
    from mmengine.config import Config
    from mmengine.hub import get_config as get_host_config

    is_name = not Path(config).exists() and (config.removesuffix(".py") in list_configs() or not Path(config).suffix)
    if "::" not in config:
        config = str(config_path(config)) if is_name else config
        need_file("config", config, "give a path relative to the current folder")
    try:
        return get_host_config(config) if "::" in config else Config.fromfile(config)
    except (UserError, HostError):
        raise
    except Exception as error:  # a config is a program
        raise UserError(f"The config {config} cannot be read ({type(error).__name__}: {error}): correct it.") from error


def parse_cfg_options(cfg_options: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Parse ``key=value`` texts as mim does, to values by their dotted keys; a UserError if one has another form."""
    from mmengine.config import DictAction

    if isinstance(cfg_options, Mapping) or not cfg_options:
        return dict(cfg_options) if isinstance(cfg_options, Mapping) else {}
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
