"""Times of functions and of training iterations, and the speed of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Callable

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmpose.registry import MODELS
from torch import nn

from tfpose_mm.comparison.latency import Timing, summarise, timed
from tfpose_mm.comparison.memory import labelled_batch
from tfpose_mm.recipe import build_optimizer


def ratio_of(timing: Timing, other: Timing) -> float:
    """Ratio of a time to another that was measured in turns with it: the median over the rounds."""
    return float(np.median(np.divide(timing.rounds, other.rounds)))


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
            _, spent = timed(function, device)
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


def autocast(device: str, precision: torch.dtype | None) -> torch.autocast:
    """Autocast with a data type, or none."""
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
        with autocast(device, precision):
            losses, _ = model.parse_losses(model.loss(images, samples))
        optimizer.update_params(losses)

    steps = []
    for cfg in cfgs:
        model = MODELS.build(cfg.model).to(device).train()
        turn_on_activation_checkpointing(model, cfg.get("activation_checkpointing") or [])
        optimizer = build_optimizer(cfg, model)
        steps.append(partial(step, model, optimizer, *labelled_batch(cfg, batch, device)))
    return time_functions(steps, repeats, device)
