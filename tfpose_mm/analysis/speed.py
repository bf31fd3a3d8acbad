"""How long models take, part by part."""

from __future__ import annotations

import platform
import time
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmpose.registry import MODELS
from torch import nn

from .memory import labelled_batch
from .recipe import build_optimiser

PARTS = ("backbone", "neck", "head")


class Timing(NamedTuple):
    """Seconds of repeated runs.

    Attributes:
        median: The middle one.
        low: The first quartile.
        high: The third quartile.
        rounds: Each run, in their order.
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
        """How much longer this takes than another that was timed in turns with it: the median over the rounds."""
        return float(np.median(np.divide(self.rounds, other.rounds)))


def describe_device(device: str) -> str:
    """What was measured on: processor or GPU, threads, versions.

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
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # an ARM Linux names no model


def time_functions(functions: Sequence[Callable[[], object]], repeats: int, device: str) -> list[Timing]:
    """Time functions in turns, so that a drift of the machine hits all alike.

    Args:
        functions: What to time.
        repeats: Timed rounds, after one that is not.
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


def matmul_rate(
    device: str,
    dtype: torch.dtype = torch.float32,
    size: int | None = None,
    repeats: int = 7,
    layers: Sequence[type[nn.Linear]] = (nn.Linear,),
) -> float:
    """What the machine reaches where nothing but arithmetic counts: the roofline of a model's latency.

    On CUDA float32 is multiplied as convolutions multiply it, which by torch's default is in TF32.

    Args:
        device: ``"cpu"`` or a CUDA device.
        dtype: Precision of the matrices.
        size: Rows and columns; by default 2048 on the CPU and 8192 on CUDA.
        repeats: Timed products.
        layers: What multiplies; the fastest counts.

    Returns:
        Multiply-adds a second in units of 10^9, of the fastest product.
    """
    size = size or (2048 if device == "cpu" else 8192)
    rows = torch.randn(size, size, device=device).to(dtype)
    made = [layer(size, size, bias=False).to(device, dtype) for layer in layers]
    as_before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        with torch.inference_mode():
            timings = time_functions([partial(layer, rows) for layer in made], repeats, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = as_before
    return size**3 / min(min(timing.rounds) for timing in timings) / 1e9


def time_parts(
    models: Sequence[BaseModel],
    shapes: Sequence[tuple[int, int]],
    batch: int,
    repeats: int,
    device: str,
    precision: torch.dtype | None = None,
) -> list[dict[str, Timing]]:
    """Time backbone, neck and head of several models, in turns, so that a drift of the machine hits all alike.

    Args:
        models: Top-down estimators.
        shapes: (h, w) of the crops of each.
        batch: Images at a time.
        repeats: Timed rounds, after one that is not.
        device: ``"cpu"`` or a CUDA device.
        precision: That of autocast; ``None`` for float32 throughout.

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
    """Time training steps (losses, gradients, optimiser) of several models, in turns.

    Args:
        cfgs: Configs of top-down estimators, with an optimiser.
        batch: Images a step.
        repeats: Timed rounds, after one that is not.
        device: ``"cpu"`` or a CUDA device.
        precision: That of autocast; ``None`` for float32 throughout.

    Returns:
        A timing for each.
    """

    def step(model: BaseModel, optimiser: OptimWrapper, images: torch.Tensor, samples: list) -> None:
        with _autocast(device, precision):
            losses, _ = model.parse_losses(model.loss(images, samples))
        optimiser.update_params(losses)

    steps = []
    for cfg in cfgs:
        model = MODELS.build(cfg.model).to(device).train()
        optimiser = build_optimiser(cfg, model)
        steps.append(partial(step, model, optimiser, *labelled_batch(cfg, batch, device)))
    return time_functions(steps, repeats, device)


def _run_parts(model: BaseModel, value: torch.Tensor, device: str) -> dict[str, float]:
    """Run a model part after part; the seconds of each."""
    spent = {}
    for part in PARTS:
        module = getattr(model, part, None)
        if module is None:
            continue
        run = module.forward if part == "head" else module
        value, spent[part] = _timed(run, device, value)
    return spent


def _timed(run: Callable, device: str, *arguments: object) -> tuple[object, float]:
    _synchronise(device)
    start = time.perf_counter()
    result = run(*arguments)
    _synchronise(device)
    return result, time.perf_counter() - start


def _synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def summarise(seconds: Sequence[float]) -> Timing:
    """Median and quartiles.

    Args:
        seconds: Of each run.

    Returns:
        The timing.
    """
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(median), float(low), float(high), tuple(seconds))
