"""Test a checkpoint with a config, and checks of what a test needs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner, load_state_dict
from mmpose.structures import PoseDataSample

from ..errors import UserError, need_file
from .checkpoint_loader import read_fitting_weights
from .hooks import CheckFiniteHook


class KeepSamples(Hook):
    """Keep the first predicted samples of a test: ``number``, or all if it is ``None``."""

    def __init__(self, number: int | None = None) -> None:
        self.number = number
        self.samples: list[PoseDataSample] = []

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Keep the samples of a batch."""
        self.samples = [*self.samples, *(outputs or ())][: self.number]


def need_metrics(metrics: dict[str, float]) -> None:
    """Raise a UserError if a test computed no metric."""
    if not metrics:
        raise UserError("The config's test_evaluator needs at least one metric, but computes none: add one to it.")


def need_checkpoint(path: str | Path) -> None:
    """Raise a UserError if a checkpoint does not exist."""
    need_file("checkpoint", path, "check the path, or train a model first")


def need_device(device: str) -> None:
    """Raise a UserError if torch cannot use a device, which is ``"cpu"`` or a CUDA device such as ``"cuda:0"``."""
    try:
        kind, reason = torch.zeros(1, device=device).device.type, "MMCV's attention has no other device"
    except (RuntimeError, AssertionError) as error:
        kind, reason = "", str(error).strip().split("\n")[0]
    if kind not in ("cpu", "cuda"):
        raise UserError(f"The device must be cpu or a GPU that torch can use, as cuda:0, but is {device!r}: {reason}")


class _QuietRunner(Runner):
    """MMEngine's runner whose console shows only progress and warnings; the log file has everything."""

    def build_logger(self, *args: str, **kwargs: str) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(lambda record: record.levelno > logging.INFO or "Epoch(test)" in record.getMessage())
        return logger


def run_test(cfg: Config, checkpoint: str | Path, work_dir: Path, keep: Hook) -> tuple[Runner, dict[str, float]]:
    """Check that a checkpoint fits the model of a config, then test it as ``mim test`` does.

    Args:
        cfg: The config; it is changed.
        checkpoint: The weights.
        work_dir: Folder for MMEngine's log.
        keep: Hook that keeps the predicted samples.

    Returns:
        The runner, and the metrics by MMPose's names.

    Raises:
        UserError: If the checkpoint lacks a parameter of the model, or if a predicted coordinate is NaN or infinite.
    """
    cfg.load_from, cfg.resume = None, False  # the checkpoint is read once, here
    cfg.work_dir = str(work_dir)
    runner = _QuietRunner.from_cfg(cfg)
    load_state_dict(runner.model, read_fitting_weights(runner.model, checkpoint), logger="current")
    if not any(isinstance(hook, CheckFiniteHook) for hook in runner.hooks):
        runner.register_hook(CheckFiniteHook())
    runner.register_hook(keep)
    return runner, {name: float(value) for name, value in runner.test().items()}
