from __future__ import annotations

import numpy as np
import pytest
import torch

from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import keypoint_similarity
from tfpose_mm.models.layers import gaussian_targets
from tfpose_mm.models.losses import KeypointMapLoss, KeypointSimilarityLoss, TFPoseLoss

SIGMAS, SIZE = (0.03, 0.05, 0.08), (96, 128)


def test_equations_5_to_7():
    coordinates, labels = torch.rand(3, 3, 5, 2).double(), torch.rand(3, 5, 2).double()
    heatmaps, targets = torch.rand(2, 3, 5, 8, 6).double()
    visible = (torch.rand(3, 5) > 0.4).double()
    losses = TFPoseLoss(aux_weight=7.0)(coordinates, labels, visible, heatmaps, targets)
    assert list(losses) == ["loss_kpt_layer1", "loss_kpt_layer2", "loss_kpt", "loss_heatmap"]
    for layer, loss in zip(coordinates, losses.values()):  # eq. (5), with MMPose's mean
        torch.testing.assert_close(loss, ((layer - labels).abs() * visible[..., None]).mean())
    heatmap_loss = ((heatmaps - targets) ** 2 * visible[..., None, None]).mean()  # eq. (6)
    torch.testing.assert_close(losses["loss_heatmap"], 7.0 * heatmap_loss)  # eq. (7)
    losses = TFPoseLoss()(coordinates, labels, visible, heatmaps, targets)
    torch.testing.assert_close(losses["loss_heatmap"], 50 * heatmap_loss)  # lambda of the paper


def test_the_loss_of_keypoint_maps_is_the_cross_entropy():
    labels, logits, weights = torch.rand(3, 5, 2), torch.randn(3, 5, 6, 4), torch.rand(3, 5)
    targets = gaussian_targets(labels, 6, 4, 1.3).flatten(2)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(2).flatten(0, 1), targets.flatten(0, 1), reduction="none"
    )
    loss = KeypointMapLoss(sigma=1.3, loss_weight=0.5)(logits, labels, weights)
    torch.testing.assert_close(loss, 0.5 * (expected * weights.flatten()).mean())


def test_the_similarity_loss_is_one_minus_coco_s_similarity():
    prediction, target = torch.rand(4, 3, 2).double(), torch.rand(4, 3, 2).double()
    weights = torch.tensor([[1.0, 0.0, 1.0]]).expand(4, 3)
    last = np.array(SIZE) - 1
    area = 0.53 * SIZE[0] * SIZE[1] / 1.25**2
    similarity = keypoint_similarity(prediction.numpy() * last, target.numpy() * last, area, np.array(SIGMAS))
    loss = KeypointSimilarityLoss(SIGMAS, SIZE, loss_weight=0.5).double()
    expected = 0.5 * ((1 - similarity) * weights.numpy()).mean()
    assert loss(prediction, target, weights).item() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UserError, match="has 3 sigmas, but the head predicts 5 keypoints"):
        loss(torch.rand(2, 5, 2), torch.rand(2, 5, 2), torch.ones(2, 5))


def test_far_keypoints_get_a_smaller_gradient_from_the_similarity_loss():
    target = torch.full((1, 3, 2), 0.5)
    prediction = torch.tensor([[[0.52, 0.5], [0.95, 0.5], [0.5, 0.5]]], requires_grad=True)
    KeypointSimilarityLoss((0.05,) * 3, SIZE)(prediction, target, torch.ones(1, 3)).backward()
    near, far, exact = prediction.grad[0, :, 0]
    assert near > 10 * far
    assert exact == 0
