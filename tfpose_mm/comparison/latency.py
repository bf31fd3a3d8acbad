"""Latency of models and of their parts."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpose.registry import MODELS
from torch import nn

from ..recipe.parameter_groups import build_optimizer
from .memory import labelled_batch

PARTS = ("backbone", "neck", "head")


class Timing(NamedTuple):
    """Times of repeated runs, in seconds.

    Attributes:
        median: The median.
        low: The first quartile.
        high: The third quartile.
        rounds: The time of each run, in order.
    """

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]

    def in_ms(self, digits: int = 0) -> str:
        """Median and quartiles in milliseconds, as in ``"21 (20-23)"``."""
        median, low, high = (f"{1e3 * value:.{digits}f}" for value in self[:3])
        return f"{median} ({low}-{high})"

    def ratio(self, other: Timing) -> float:
        """Ratio of this time to another that was measured in turns with it: the median over the rounds."""
        return float(np.median(np.divide(self.rounds, other.rounds)))


def describe_device(device: str) -> str:
    """Describe the processor or GPU, the threads and the versions.

    Args:
        device: ``"cpu"`` or a CUDA device.

    Returns:
        A line, as in ``"AMD EPYC 9V74 (2 threads), torch 2.1.2, mmcv 2.1.0"``.
    """
    if device == "cpu":
        name = f"{_processor()} ({torch.get_num_threads()} threads)"
    else:
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"{name}, torch {torch.__version__}, mmcv {mmcv.__version__}"


def _processor() -> str:
    file = Path("/proc/cpuinfo")  # only on Linux
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # Linux on ARM gives no model name


def time_functions(functions: Sequence[Callable[[], object]], repeats: int, device: str) -> list[Timing]:
    """Time functions in turns, so that changes of the machine's speed affect all of them.

    Args:
        functions: The functions to time.
        repeats: Timed rounds, after one round of warm-up.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        A timing for each.
    """
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, taken in zip(functions, seconds):
            _, spent = _timed(function, device)
            if repeat:
                taken.append(spent)
    return [summarise(taken) for taken in seconds]


def matmul_rate(device: str, dtype: torch.dtype = torch.float32, size: int | None = None, repeats: int = 7) -> float:
    """Measure the speed of a product of large matrices, an upper bound for the speed of a model.

    On CUDA, float32 matrices are multiplied with the precision of convolutions, which is TF32 by torch's default.

    Args:
        device: ``"cpu"`` or a CUDA device.
        dtype: Precision of the matrices.
        size: Rows and columns; by default 2048 on the CPU and 8192 on CUDA.
        repeats: Timed products.

    Returns:
        GMACs/s (10^9 MACs per second) of the fastest product.
    """
    size = size or (2048 if device == "cpu" else 8192)
    rows = torch.randn(size, size, device=device).to(dtype)
    layer = nn.Linear(size, size, bias=False).to(device, dtype)
    as_before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        with torch.inference_mode():
            (timing,) = time_functions([partial(layer, rows)], repeats, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = as_before
    return size**3 / min(timing.rounds) / 1e9


def time_parts(
    models: Sequence[BaseModel],
    shapes: Sequence[tuple[int, int]],
    batch: int,
    repeats: int,
    device: str,
    precision: torch.dtype | None = None,
) -> list[dict[str, Timing]]:
    """Time backbone, neck and head of several models, in turns.

    Args:
        models: Top-down estimators.
        shapes: (h, w) of the input of each.
        batch: Batch size.
        repeats: Timed rounds, after one round of warm-up.
        device: ``"cpu"`` or a CUDA device.
        precision: Data type of autocast; ``None`` for float32 without autocast.

    Returns:
        For each model a timing for each of its parts and for ``"total"``, of the whole batch.
    """
    images = [torch.randn(batch, 3, *shape, device=device) for shape in shapes]
    seconds: list[dict[str, list[float]]] = [{} for _ in models]
    with torch.inference_mode(), _autocast(device, precision):
        for repeat in range(repeats + 1):
            for model, batch_of, taken in zip(models, images, seconds):
                spent = _run_parts(model, batch_of, device)
                if repeat:
                    for part, value in {**spent, "total": sum(spent.values())}.items():
                        taken.setdefault(part, []).append(value)
    return [{part: summarise(values) for part, values in taken.items()} for taken in seconds]


def _autocast(device: str, precision: torch.dtype | None) -> torch.autocast:
    return torch.autocast(torch.device(device).type, precision, enabled=precision is not None)


def time_training(
    cfgs: Sequence[Config], batch: int, repeats: int, device: str, precision: torch.dtype | None = None
) -> list[Timing]:
    """Time training iterations (losses, gradients, optimizer) of several models, in turns.

    Args:
        cfgs: Configs of top-down estimators, with an optimizer. ``activation_checkpointing`` is used, as in MMEngine.
        batch: Batch size.
        repeats: Timed rounds, after one round of warm-up.
        device: ``"cpu"`` or a CUDA device.
        precision: Data type of autocast; ``None`` for float32 without autocast.

    Returns:
        A timing for each.
    """

    def step(model: BaseModel, optimizer: OptimWrapper, images: torch.Tensor, samples: list) -> None:
        with _autocast(device, precision):
            losses, _ = model.parse_losses(model.loss(images, samples))
        optimizer.update_params(losses)

    steps = []
    for cfg in cfgs:
        model = MODELS.build(cfg.model).to(device).train()
        turn_on_activation_checkpointing(model, cfg.get("activation_checkpointing") or [])
        optimizer = build_optimizer(cfg, model)
        steps.append(partial(step, model, optimizer, *labelled_batch(cfg, batch, device)))
    return time_functions(steps, repeats, device)


def _run_parts(model: BaseModel, value: torch.Tensor, device: str) -> dict[str, float]:
    """Run the parts of a model in order; return the seconds of each."""
    spent = {}
    for part in PARTS:
        module = getattr(model, part, None)
        if module is None:
            continue
        run = module.forward if part == "head" else module
        value, spent[part] = _timed(run, device, value)
    return spent


def _timed(run: Callable, device: str, *arguments: object) -> tuple[Any, float]:
    _synchronise(device)
    start = time.perf_counter()
    result = run(*arguments)
    _synchronise(device)
    return result, time.perf_counter() - start


def _synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def summarise(seconds: Sequence[float]) -> Timing:
    """Compute median and quartiles.

    Args:
        seconds: Time of each run.

    Returns:
        The timing.
    """
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(median), float(low), float(high), tuple(seconds))
