from __future__ import annotations

import torch

from tfpose_mm.models.layers import gaussian_targets
from tfpose_mm.models.losses import KeypointMapLoss

H, W = 6, 4


def test_it_is_the_cross_entropy():
    labels, logits = torch.rand(3, 5, 2), torch.randn(3, 5, H, W)
    weights = torch.rand(3, 5)
    targets = gaussian_targets(labels, H, W, 1.3).flatten(2)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(2).flatten(0, 1), targets.flatten(0, 1), reduction="none"
    )
    loss = KeypointMapLoss(sigma=1.3, loss_weight=0.5)(logits, labels, weights)
    torch.testing.assert_close(loss, 0.5 * (expected * weights.flatten()).mean())
