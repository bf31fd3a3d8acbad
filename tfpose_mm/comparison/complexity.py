"""MACs and parameters of a model."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.model import BaseModel
from torch import nn

from ..models.layers import DeformableAttention, set_attn_implementation

TRAINING_ONLY = ("aux_branch", "loss_module")  # parts of a head; a loss may have parameters, such as RLE's flow


class Complexity(NamedTuple):
    """10^9 MACs of one image, which papers call GFLOPs, and 10^6 parameters; without the auxiliary branch."""

    gflops: float
    params: float


def _attention_flops(inputs: list, outputs: list) -> int:
    """MACs of torch's fused attention, which MMEngine does not count: queries x keys, weights x values."""
    query, key, value = (tensor.type().sizes() for tensor in inputs[:3])  # (..., length, channels)
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def count_complexity(estimator: BaseModel, size: tuple[int, int]) -> Complexity:
    """Count the MACs for one image, with MMEngine's counter, and the parameters.

    They are counted on a copy of the model, on the CPU and with ``grid_sample`` attention: the counter traces the model
    and cannot count the other implementations of deformable attention.

    Args:
        estimator: A top-down estimator of MMPose; it is not changed.
        size: (h, w) of the input in pixels.
    """
    model = copy.deepcopy(estimator).cpu().eval()
    if any(isinstance(module, DeformableAttention) for module in model.modules()):
        set_attn_implementation(model, "grid_sample")
    model.forward = model._forward  # the counter calls forward with only the images
    analyzer = FlopAnalyzer(model, (torch.zeros(1, 3, *size),))
    analyzer.set_op_handle("aten::scaled_dot_product_attention", _attention_flops)
    flops = analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    parts = (getattr(model.head, name, None) for name in TRAINING_ONLY)
    unused = {parameter for part in parts if isinstance(part, nn.Module) for parameter in part.parameters()}
    return Complexity(flops / 1e9, sum(p.numel() for p in model.parameters() if p not in unused) / 1e6)
