"""Speed of deformable attention compared with mmcv's function in plain torch, and kernel launches on a GPU."""

from __future__ import annotations

from typing import Callable, NamedTuple

import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmengine.model import BaseModel
from torch import Tensor

from benchmarks.timing import time_functions
from tfpose_mm.comparison.latency import Timing
from tfpose_mm.ops import multi_scale_deformable_attention

SHAPES = ((32, 24), (16, 12), (8, 6))  # C3, C4, C5 of a 256x192 input
HEADS, DIMS, POINTS = 8, 32, 4
KERNEL = "ms_deformable_im2col"


class AttentionSpeed(NamedTuple):
    """Times of attention at one size, ours and mmcv's reference, measured in turns.

    Attributes:
        batch: Images B.
        queries: Queries Q.
        forward: Ours and the reference's, without gradients.
        training: Ours and the reference's, with gradients.
        error: Largest difference of the outputs.
    """

    batch: int
    queries: int
    forward: tuple[Timing, Timing]
    training: tuple[Timing, Timing]
    error: float


def time_attention(batch: int, queries: int, repeats: int, device: str) -> AttentionSpeed:
    """Time attention at the paper's sizes: 3 levels of a 256x192 input, 8 heads of 32 channels, 4 points.

    Args:
        batch: Batch size B.
        queries: Queries Q: 1008 in the encoder, K in the decoder.
        repeats: Timed rounds.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        The timings.
    """
    generator = torch.Generator().manual_seed(0)
    levels = len(SHAPES)
    value = torch.randn(batch, sum(h * w for h, w in SHAPES), HEADS, DIMS, generator=generator)
    locations = torch.rand(batch, queries, HEADS, levels, POINTS, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(batch, queries, HEADS, levels * POINTS, generator=generator).softmax(-1)
    weights = weights.view(batch, queries, HEADS, levels, POINTS)
    inputs = [tensor.to(device).requires_grad_() for tensor in (value, locations, weights)]
    sizes = torch.tensor(SHAPES, device=device)

    def ours(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return multi_scale_deformable_attention(value, SHAPES, locations, weights)

    def reference(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return multi_scale_deformable_attn_pytorch(value, sizes, locations, weights)

    def infer(function: Callable[..., Tensor]) -> Tensor:
        with torch.no_grad():
            return function(*inputs)

    def train(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(function(*inputs).sum(), inputs)

    forward = time_functions([lambda: infer(ours), lambda: infer(reference)], repeats, device)
    training = time_functions([lambda: train(ours), lambda: train(reference)], repeats, device)
    error = (infer(ours) - infer(reference)).abs().max().item()
    return AttentionSpeed(batch, queries, tuple(forward), tuple(training), error)


def kernel_launches(model: BaseModel, images: Tensor) -> int:
    """Count the runs of mmcv's CUDA kernel in a forward pass, which must not synchronise with the GPU.

    Args:
        model: A top-down estimator on a CUDA device.
        images: (B, 3, h, w) on the same device.

    Returns:
        The launches of ``ms_deformable_im2col`` in torch's profiler.

    Raises:
        RuntimeError: If an operation of the forward pass synchronises; torch raises it.
    """
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.inference_mode():
        model.head.forward(model.extract_feat(images))  # warm-up
        with torch.profiler.profile(activities=activities) as profile:
            torch.cuda.set_sync_debug_mode("error")
            try:
                model.head.forward(model.extract_feat(images))
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return sum(event.count for event in profile.key_averages() if KERNEL in event.key)
