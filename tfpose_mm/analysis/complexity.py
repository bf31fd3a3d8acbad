"""Multiply-adds and parameters of a model."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.model import BaseModel
from torch import Tensor, nn


class Complexity(NamedTuple):
    """What one image costs.

    Attributes:
        gflops: Multiply-adds in units of 10^9, what the field calls GFLOPs; the auxiliary branch does not run.
        params: Parameters of what runs in inference, in units of 10^6.
        gflops_of_hrnet: The same work as HRNet's code counts it, whose figures many papers hand on: transposed
            convolutions at the size of their output, and in units of 2^30.
    """

    gflops: float
    params: float
    gflops_of_hrnet: float


def _attention_flops(inputs: list, outputs: list) -> int:
    """Queries with keys, weights with values: MMEngine does not count torch's fused attention."""
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])  # (..., length, channels)
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def count(estimator: BaseModel, size: tuple[int, int]) -> Complexity:
    """Count with MMEngine's counter, on the CPU: CUDA's attention function is not counted.

    Args:
        estimator: A top-down estimator of MMPose; its ``forward`` is restored.
        size: (h, w) of the crop in pixels.

    Returns:
        Multiply-adds and parameters for one image.
    """
    estimator = estimator.cpu().eval()
    image = torch.zeros(1, 3, *size)
    extra: dict[nn.Module, int] = {}

    def hook(module: nn.ConvTranspose2d, inputs: tuple[Tensor], output: Tensor) -> None:
        weights = module.weight.numel()  # (C_in, C_out / groups, k, k), all used at each pixel
        extra[module] = int(weights * (output[0, 0].numel() - inputs[0][0, 0].numel()))  # tensors while traced

    handles = [
        module.register_forward_hook(hook) for module in estimator.modules() if isinstance(module, nn.ConvTranspose2d)
    ]
    estimator.forward = estimator._forward  # the counter calls it with images alone
    try:
        analyzer = FlopAnalyzer(estimator, (image,))
        analyzer.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
        flops = analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    finally:
        del estimator.forward
        for handle in handles:
            handle.remove()
    parameters = sum(parameter.numel() for parameter in estimator.parameters())
    aux_branch = getattr(estimator.head, "aux_branch", None)
    if aux_branch is not None:
        parameters -= sum(parameter.numel() for parameter in aux_branch.parameters())
    return Complexity(flops / 1e9, parameters / 1e6, (flops + sum(extra.values())) / 2**30)
