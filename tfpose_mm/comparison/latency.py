"""Latency of models and of their parts."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import mmcv
import numpy as np
import torch
from mmengine.model import BaseModel

PARTS = ("backbone", "neck", "head")


class Timing(NamedTuple):
    """Times of repeated runs, in seconds."""

    median: float
    low: float  # first quartile
    high: float  # third quartile
    rounds: tuple[float, ...]  # the time of each run, in order

    def in_ms(self, digits: int = 0) -> str:
        """Median and quartiles in milliseconds, as in ``"21 (20-23)"``."""
        median, low, high = (f"{1e3 * value:.{digits}f}" for value in self[:3])
        return f"{median} ({low}-{high})"


def describe_device(device: str) -> str:
    """Processor or GPU, threads and versions, as in ``"AMD EPYC 9V74 (2 threads), torch 2.1.2, mmcv 2.1.0"``."""
    if device == "cpu":
        file = Path("/proc/cpuinfo")  # only on Linux; on ARM it gives no model name
        found = re.search(r"^model name\s*: (.+)", file.read_text() if file.exists() else "", re.MULTILINE)
        name = f"{found[1].strip() if found else platform.machine()} ({torch.get_num_threads()} threads)"
    else:
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"{name}, torch {torch.__version__}, mmcv {mmcv.__version__}"


def time_parts(
    models: Sequence[BaseModel], shapes: Sequence[tuple[int, int]], batch: int, repeats: int, device: str
) -> list[dict[str, Timing]]:
    """Time backbone, neck and head of several models, in turns.

    Args:
        models: Top-down estimators.
        shapes: (h, w) of the input of each.
        batch: Batch size.
        repeats: Timed rounds, after one round of warm-up.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        For each model a timing for each of its parts and for ``"total"``, of the whole batch.
    """
    images = [torch.randn(batch, 3, *shape, device=device) for shape in shapes]
    with torch.inference_mode():
        rounds = [
            [_run_parts(model, value, device) for model, value in zip(models, images)] for _ in range(repeats + 1)
        ]
    return [{part: summarise([taken[part] for taken in runs[1:]]) for part in runs[0]} for runs in zip(*rounds)]


def _run_parts(model: BaseModel, value: torch.Tensor, device: str) -> dict[str, float]:
    """Run the parts of a model in order; return the seconds of each, and their sum."""
    spent = {}
    for part in PARTS:
        module = getattr(model, part, None)
        if module is not None:
            value, spent[part] = timed(module.forward if part == "head" else module, device, value)
    return dict(spent, total=sum(spent.values()))


def timed(run: Callable, device: str, *arguments: object) -> tuple[Any, float]:
    """Run a function; return its result and its seconds, on CUDA until the device has finished."""
    synchronise = torch.cuda.synchronize if device != "cpu" else lambda _: None
    synchronise(device)
    start = time.perf_counter()
    result = run(*arguments)
    synchronise(device)
    return result, time.perf_counter() - start


def summarise(seconds: Sequence[float]) -> Timing:
    """Median and quartiles of the seconds of each run."""
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(median), float(low), float(high), tuple(seconds))
