"""What tools share that run a config."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Sequence

import numpy as np
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader, Runner
from mmpose.structures import PoseDataSample
from torch import nn

from .cli import PACKAGE

# In a clone beside the package; in an installed package where mim looks for them.
CONFIGS = next(
    (folder for folder in (PACKAGE.parent / "configs", PACKAGE / ".mim/configs") if (folder / "_base_").is_dir()),
    PACKAGE.parent / "configs",
)


class KeepSamples(Hook):
    """Keep the first predicted samples of a test.

    Args:
        number: How many; ``None`` keeps all.
    """

    def __init__(self, number: int | None = None) -> None:
        self.number = number
        self.samples: list[PoseDataSample] = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Take what is still wanted from a batch's outputs."""
        wanted = None if self.number is None else self.number - len(self.samples)
        self.samples += list(outputs or ())[:wanted]


class RefuseUndefined(Hook):
    """End a test whose predictions are not numbers: COCO's evaluation finds them perfect, with an AP of 1."""

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Look at a batch's keypoints."""
        if not all(np.isfinite(sample.pred_instances.keypoints).all() for sample in outputs or ()):
            raise ValueError(
                "The model must predict finite coordinates, but predicts some that are not: its training has diverged; "
                "train with a lower rate, or take an earlier checkpoint."
            )


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Give a tool mim's option ``--cfg-options``.

    Args:
        parser: The tool's parser.
    """
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="changes to the config, as in mim: key=value"
    )


def need_file(what: str, path: str | Path, remedy: str) -> None:
    """Refuse to begin without a file.

    Args:
        what: What the file is, for the message.
        path: The file.
        remedy: What the user can do.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The {what} {path} does not exist: {remedy}.")


def need_checkpoint(path: str | Path) -> None:
    """Refuse to begin without the weights.

    Args:
        path: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    need_file("checkpoint", path, "train one first, as the README shows")


def read_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config of a top-down estimator and change it as ``--cfg-options`` says.

    Args:
        path: The config; one of MMPose's own as ``mmpose::path``.
        options: Values by their dotted keys.

    Returns:
        The config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a config, or one of another kind of model.
    """
    cfg = get_config(str(path)) if "::" in str(path) else _read_file(path)
    cfg.merge_from_dict(options or {})
    kind = (cfg.get("model") or {}).get("type")
    if kind != "TopdownPoseEstimator":
        raise ValueError(
            f"{path} builds {'no model' if kind is None else 'a ' + kind}, but this tool needs a config whose model is "
            "a TopdownPoseEstimator: choose one of configs/, not of configs/_base_."
        )
    return cfg


def _read_file(path: str | Path) -> Config:
    need_file("config", path, "give a path from the current folder")
    if Path(path).suffix not in (".py", ".json", ".yml", ".yaml"):
        raise ValueError(f"{path} is not a config: MMEngine reads .py, .json and .yaml files.")
    return Config.fromfile(str(path))


class _QuietRunner(Runner):
    """MMEngine's runner, whose console shows a test's progress and warnings only; its log file has everything."""

    def build_logger(self, *args: str, **kwargs: str) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(lambda record: record.levelno > logging.INFO or "Epoch(test)" in record.getMessage())
        return logger


def run_test(cfg: Config, checkpoint: str, work_dir: Path, keep: KeepSamples) -> tuple[Runner, dict[str, float]]:
    """Test a checkpoint as ``mim test`` does, but only if it is one of the config's model.

    Args:
        cfg: The config; it is changed.
        checkpoint: The weights.
        work_dir: Folder for MMEngine's log.
        keep: Takes the predicted samples.

    Returns:
        The runner, and the metrics by MMPose's names.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it does not hold every parameter of the model in its shape, or predicts what is not a number.
    """
    need_checkpoint(checkpoint)
    cfg.load_from = str(checkpoint)
    cfg.work_dir = str(work_dir)
    runner = _QuietRunner.from_cfg(cfg)
    _check_fit(runner.model, checkpoint)
    runner.register_hook(RefuseUndefined())
    runner.register_hook(keep)
    return runner, {name: float(value) for name, value in runner.test().items()}


def _check_fit(model: nn.Module, checkpoint: str) -> None:
    """MMEngine only warns of parameters that a checkpoint lacks, and leaves them at their first random values."""
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location="cpu")
    saved = {name: tuple(tensor.shape) for name, tensor in content.get("state_dict", content).items()}
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if saved.get(name) != shape:
            raise ValueError(
                f"The checkpoint {checkpoint} is not one of this config's model: {name} needs shape {shape}, but the "
                f"checkpoint has {saved.get(name, 'none')}: give the config that it was trained with."
            )
