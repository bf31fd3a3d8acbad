"""Checks of models."""

import numpy as np
import torch

from .models import flip_indices, images, samples


def check_gradients(model, losses):
    """Each trained parameter gets a finite gradient; return the names of those whose gradient is zero."""
    model.parse_losses(losses)[0].backward()
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert [name for name, parameter in trained if parameter.grad is None or not parameter.grad.isfinite().all()] == []
    return [name for name, parameter in trained if not parameter.grad.any()]


def check_flip_test(model, num_joints=5):
    """With the flip test a mirrored image gives mirrored keypoints and the same scores."""
    flip = flip_indices(num_joints)
    with torch.no_grad():
        views = [model.predict(batch, samples(num_joints=num_joints)) for batch in (images(), images().flip(-1))]
    plain, mirrored = ([sample.pred_instances for sample in results] for results in views)
    for one, other in zip(plain, mirrored):
        expected = other.keypoints[:, flip] * [-1, 1] + [2 * 40.0, 0]
        np.testing.assert_allclose(one.keypoints, expected, atol=1e-3)
        np.testing.assert_allclose(one.keypoint_scores, other.keypoint_scores[:, flip], atol=1e-5)
    scores = np.concatenate([one.keypoint_scores for one in plain])
    assert scores.std() > 0
    return scores
