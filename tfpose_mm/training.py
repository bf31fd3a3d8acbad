"""Train and test as MMPose's scripts do, in this process; an error that the user can fix ends in one sentence."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner

from .config_files import parse_cfg_options, read_config
from .datasets.config_data import (
    LOADERS,
    annotation_file,
    find_mixed_annotations,
    list_evaluators,
    need_annotation_files,
)
from .engine.running import KeepSamples, need_checkpoint, run_test
from .errors import UserError, need_new
from .evaluation.metrics_table import format_table
from .recipe import find_worker_problems

Launcher = Literal["none", "pytorch", "slurm", "mpi"]


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    load_from: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    launcher: Launcher = "none",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> str:
    """Train a model.

    It does what mim train mmpose does with the same options. For several GPUs start it with torchrun:
    torchrun --nproc_per_node 8 -m tfpose_mm train CONFIG --launcher pytorch

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        work_dir: Folder for log and checkpoints. Defaults to work_dirs/ and the name of the config.
        resume: Whether to continue from the newest complete checkpoint of the folder.
        load_from: Weights to begin with; with resume, the checkpoint to continue from.
        amp: Whether to compute in mixed precision.
        auto_scale_lr: Whether to scale the learning rate to the batch size.
        launcher: Who starts the processes.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        Where the checkpoints are.

    Raises:
        UserError: If the config or the weights cannot be used, or if training stops at an error that the user can fix.
    """
    cfg = _prepare(config, work_dir, launcher, cfg_options)
    cfg.resume = resume or bool(cfg.get("resume"))
    if load_from is not None:
        need_checkpoint(load_from)
        cfg.load_from = str(load_from)
    elif resume:
        cfg.load_from = None  # as MMPose does: else MMEngine resumes from the weights that the config begins with
    if amp:
        if get_device() in ("cpu", "mps"):
            raise UserError(f"--amp needs a GPU, but torch finds only the device {get_device()}: leave --amp out.")
        cfg.optim_wrapper.update(type="AmpOptimWrapper", loss_scale=cfg.optim_wrapper.get("loss_scale", "dynamic"))
    if auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise UserError("--auto-scale-lr needs auto_scale_lr.base_batch_size, but the config has none: set it.")
        cfg.auto_scale_lr.enable = True
    for loader in LOADERS[:2]:
        need_annotation_files(cfg, loader)
    runner, handler = Runner.from_cfg(cfg), signal.getsignal(signal.SIGTERM)
    try:
        runner.train()
    finally:  # PreemptionHook restores it only after a whole training
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
    return f"The training is complete. Log and checkpoints: {runner.work_dir}"


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    dump: str | Path | None = None,
    work_dir: str | Path | None = None,
    launcher: Launcher = "none",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> str:
    """Test a checkpoint, and print the metrics as a table.

    It measures what mim test mmpose measures.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: New json file for the metrics, with config, checkpoint and data.
        dump: New .pkl file for the predictions.
        work_dir: Folder for the log. Defaults to work_dirs/ and the name of the config.
        launcher: Who starts the processes.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The table.

    Raises:
        UserError: If a file is missing, or one that would be written exists; if the checkpoint does not fit the model;
            if a predicted coordinate is NaN or infinite.
    """
    cfg = _prepare(config, work_dir, launcher, cfg_options)
    need_new(*filter(None, (out, dump)))
    if dump is not None and Path(dump).suffix not in (".pkl", ".pickle"):
        raise UserError(f"--dump writes a .pkl file, but got {dump}: choose a name that ends in .pkl.")
    need_checkpoint(checkpoint)
    if not cfg.get("test_dataloader"):
        raise UserError("The config must have a test_dataloader, but has none: set it.")
    mixed = find_mixed_annotations(cfg, "test")
    if mixed:
        raise UserError(mixed)
    data = cfg.test_dataloader.dataset
    annotations = str(annotation_file(cfg)) if "ann_file" in data else None
    if dump is not None:
        dumped = dict(type="DumpResults", out_file_path=str(dump))
        cfg.test_evaluator = [*list_evaluators(cfg, ("test_evaluator",)), dumped]
    runner, metrics = run_test(cfg, checkpoint, Path(cfg.work_dir), KeepSamples(0))
    if out is not None and runner.rank == 0:
        provenance = dict(
            config=Path(cfg.filename or "config").stem,
            cfg_options=parse_cfg_options(cfg_options),
            checkpoint=str(checkpoint),
            annotations=annotations,
            boxes=data.get("bbox_file"),
            instances=len(runner.test_dataloader.dataset),
        )
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps({**provenance, **metrics}, indent=2) + "\n", encoding="utf-8")
    return format_table(metrics) if metrics else "The config computes no metric."


def _prepare(
    config: str | Path | Config,
    work_dir: str | Path | None,
    launcher: str,
    cfg_options: Mapping[str, Any] | Sequence[str] | None,
) -> Config:
    cfg = read_config(config, cfg_options)
    variable = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_LOCAL_RANK"}.get(launcher)
    if variable is not None and variable not in os.environ:
        raise UserError(
            f"--launcher {launcher} needs a process that {launcher} has started, but the variable {variable} is not "
            "set: start the command with torchrun, srun or mpirun, or leave --launcher out."
        )
    cfg.launcher = launcher
    if work_dir is not None or cfg.get("work_dir") is None:
        cfg.work_dir = str(work_dir or Path("work_dirs", Path(cfg.filename or "config").stem))
    for problem in find_worker_problems(cfg):
        raise UserError(problem)
    return cfg
