from __future__ import annotations

import pytest
import torch
from mmpose.registry import MODELS

K = 5


def inputs(layers=3, batch=3):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    return dict(
        coordinates=rand(layers, batch, K, 2).requires_grad_(),
        keypoint_labels=rand(batch, K, 2),
        keypoint_weights=(rand(batch, K) > 0.4).double(),
        heatmaps=rand(batch, K, 8, 6).requires_grad_(),
        heatmap_targets=rand(batch, K, 8, 6),
    )


def build(**cfg):
    return MODELS.build(dict(type="TFPoseLoss", **cfg))


def test_equations_5_to_7():
    x = inputs()
    losses = build(aux_weight=7.0)(**x)
    assert list(losses) == ["loss_kpt_layer1", "loss_kpt_layer2", "loss_kpt", "loss_heatmap"]
    visible = x["keypoint_weights"]
    count = visible.numel()
    total = 0.0
    for layer in x["coordinates"]:  # eq. (5), with MMPose's mean
        total = total + ((layer - x["keypoint_labels"]).abs() * visible[..., None]).sum() / (2 * count)
    squared = (x["heatmaps"] - x["heatmap_targets"]) ** 2  # eq. (6)
    total = total + 7.0 * (squared * visible[..., None, None]).sum() / (count * 8 * 6)  # eq. (7)
    torch.testing.assert_close(sum(losses.values()), total)
    torch.testing.assert_close(build()(**x)["loss_heatmap"], losses["loss_heatmap"] * 50 / 7)  # lambda of the paper


def test_joints_of_weight_0_leave_no_trace():
    x = inputs()
    x["keypoint_weights"][1, 2] = 0
    before = sum(build()(**x).values())
    gradients = torch.autograd.grad(before, [x["coordinates"], x["heatmaps"]])
    assert not gradients[0][:, 1, 2].any()
    assert not gradients[1][1, 2].any()
    x["keypoint_labels"][1, 2] = 0.987
    x["heatmap_targets"][1, 2] = 0.654
    assert torch.equal(sum(build()(**x).values()), before)


def test_heatmaps_of_another_size_are_refused():
    x = inputs()
    x["heatmap_targets"] = torch.zeros(3, K, 6, 8)
    with pytest.raises(ValueError, match=r"\(3, 5, 8, 6\).*\(3, 5, 6, 8\).*heatmap_size"):
        build()(**x)
