from __future__ import annotations

import numpy as np
import pytest
import torch

from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import keypoint_similarity
from tfpose_mm.models.losses import KeypointSimilarityLoss

SIGMAS, SIZE = (0.03, 0.05, 0.08), (96, 128)


def test_it_is_one_minus_coco_s_similarity():
    prediction, target = torch.rand(4, 3, 2).double(), torch.rand(4, 3, 2).double()
    weights = torch.tensor([[1.0, 0.0, 1.0]]).expand(4, 3)
    last = np.array(SIZE) - 1
    area = 0.53 * SIZE[0] * SIZE[1] / 1.25**2
    similarity = keypoint_similarity(prediction.numpy() * last, target.numpy() * last, area, np.array(SIGMAS))
    loss = KeypointSimilarityLoss(SIGMAS, SIZE, loss_weight=0.5).double()(prediction, target, weights)
    assert loss.item() == pytest.approx(0.5 * ((1 - similarity) * weights.numpy()).mean(), abs=1e-6)


def test_far_keypoints_get_a_smaller_gradient():
    target = torch.full((1, 3, 2), 0.5)
    prediction = torch.tensor([[[0.52, 0.5], [0.95, 0.5], [0.5, 0.5]]], requires_grad=True)
    KeypointSimilarityLoss((0.05,) * 3, SIZE)(prediction, target, torch.ones(1, 3)).backward()
    near, far, exact = prediction.grad[0, :, 0]
    assert near > 10 * far
    assert exact == 0


def test_another_number_of_keypoints():
    with pytest.raises(UserError, match="has 3 sigmas, but the head predicts 5 keypoints"):
        KeypointSimilarityLoss(SIGMAS, SIZE)(torch.rand(2, 5, 2), torch.rand(2, 5, 2), torch.ones(2, 5))
