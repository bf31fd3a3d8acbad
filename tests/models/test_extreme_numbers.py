"""Losses, gradients and predictions are finite for extreme logits, labels and images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.helpers.models import INPUT_SIZE, TWO_STAGE, build, feature_maps, images, samples, tiny_model_cfg

SIMILARITY = dict(type="KeypointSimilarityLoss", sigmas=[0.05] * 5, input_size=INPUT_SIZE, loss_weight=0.1)
HEADS = {
    "TFPoseHead": {},
    "TFPoseHead with keypoint maps": dict(TWO_STAGE, loss=dict(type="TFPoseLoss", reg_loss=SIMILARITY)),
}
MAPS = feature_maps((32, 32, 32), ((16, 12), (8, 6), (4, 3)))
FINITE = "finite losses, gradients and predictions"
OUTPUTS = ("reg_branch", "classifiers", "sampling_offsets", "attention_weights")
FACTORS = (0.0, 1e3, -1e4, 1e6)


def make_head(name):
    return build(tiny_model_cfg(**HEADS[name])).head.train()


def scale_logits(head, factor):
    """Multiply the last linear layer of every branch that predicts coordinates, maps or attention."""
    with torch.no_grad():
        for name, module in head.named_modules():
            if isinstance(module, torch.nn.Linear) and any(part in name for part in OUTPUTS):
                module.weight.copy_(torch.randn_like(module.weight) * max(abs(factor), 1.0) * np.sign(factor or 1))


def check_losses(head, losses, case):
    """Losses and their gradients are finite."""
    total = sum(value for key, value in losses.items() if "loss" in key)
    assert torch.isfinite(total), (case, losses)
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None), case


@pytest.mark.parametrize("name", HEADS)
def test_extreme_logits(name, reliability):
    """Whether bfloat16 autocast is on or off."""
    cases = list(itertools.product(FACTORS, (False, True)))
    for factor, amp in cases:
        head = make_head(name)
        scale_logits(head, factor)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            losses = head.loss(MAPS, samples())
        check_losses(head, losses, (factor, amp))
        for instances in head.eval().predict(MAPS, samples(), dict(keypoint_scores="auto")):
            assert (instances.keypoints >= 0).all()  # they saturate at the border
            assert (instances.keypoints <= INPUT_SIZE).all()
            assert np.isfinite(instances.keypoint_scores).all()
    reliability.row("numbers", f"logits multiplied by 0 to 1e6, float32 and bfloat16: {name}", len(cases), FINITE)


@pytest.mark.parametrize("name", HEADS)
def test_labels_at_the_borders(name, reliability):
    """Labels of exactly 0 and 1, outside the input, and batches without a visible joint."""
    cases = list(itertools.product((0.0, 1.0, -3.0, 7.5), (1.0, 0.0)))
    for label, visible in cases:
        head, packed = make_head(name), samples()
        for sample in packed:
            sample.gt_instance_labels.keypoint_labels.fill_(label)
            sample.gt_instance_labels.keypoint_weights.fill_(visible)
        check_losses(head, head.loss(MAPS, packed), (label, visible))
    fault = f"labels at 0 and 1 and outside the input, with and without visible joints: {name}"
    reliability.row("numbers", fault, len(cases), FINITE)


@pytest.mark.parametrize("value", [0.0, 255.0, 1e4])
def test_constant_images(value, reliability):
    packed = build(tiny_model_cfg()).eval().predict(torch.full_like(images(), value), samples())
    assert all(np.isfinite(sample.pred_instances.keypoints).all() for sample in packed)
    reliability.row("numbers", f"an image with the same value {value:g} everywhere", 1, "finite predictions")


def test_an_empty_batch_predicts_nothing(reliability):
    """A detector that finds no person gives no boxes."""
    assert build(tiny_model_cfg()).eval().predict(images(0), []) == []
    reliability.row("numbers", "a batch without instances", 1, "an empty list of predictions")
