from __future__ import annotations

import pytest
import torch

from tests.helpers.models import TinyUpsampler, build, tiny_model_cfg
from tfpose_mm.comparison.complexity import count_complexity


def test_products_of_keypoints_with_keypoints_are_counted():
    """MACs of the projections and both matrix products in 2 layers of 32 channels; torch fuses the products."""
    with_it, without = (build(tiny_model_cfg(num_joints=133, query_attention=q2q)) for q2q in (True, False))
    expected = 2 * (4 * 133 * 32**2 + 2 * 133**2 * 32)
    difference = count_complexity(with_it, (128, 96)).gflops - count_complexity(without, (128, 96)).gflops
    assert 1e9 * difference == pytest.approx(expected, rel=0.03)


def test_the_auxiliary_branch_costs_nothing_in_inference():
    with_it, without = (build(tiny_model_cfg(aux_branch=aux)) for aux in (True, False))
    assert count_complexity(with_it, (128, 96)) == count_complexity(without, (128, 96))


def test_the_count_against_arithmetic():
    model = TinyUpsampler().train()
    complexity = count_complexity(model, (5, 7))
    per_pixel = 3 * 2 * 4 * 4  # C_in x C_out / groups x k x k
    assert complexity.gflops * 1e9 == pytest.approx(5 * 7 * per_pixel)
    assert complexity.params * 1e6 == pytest.approx(per_pixel)
    assert model.training
    assert model(torch.zeros(1, 3, 5, 7)) == "untouched"


def test_the_flow_model_of_rle_is_not_counted():
    """RLE's flow is part of the loss: a head of 32 channels has one layer with 4 outputs per keypoint."""
    head = dict(type="RLEHead", in_channels=64, num_joints=5, loss=dict(type="RLELoss", use_target_weight=True))
    cfg = dict(tiny_model_cfg(), neck=dict(type="GlobalAveragePooling"), head=head)
    cfg["backbone"]["out_indices"] = (3,)
    model = build(cfg)
    backbone = sum(parameter.numel() for parameter in model.backbone.parameters())
    assert sum(parameter.numel() for parameter in model.head.loss_module.parameters()) > 0
    assert count_complexity(model, (128, 96)).params * 1e6 == pytest.approx(backbone + 64 * 20 + 20)
