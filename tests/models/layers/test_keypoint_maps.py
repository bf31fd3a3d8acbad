from __future__ import annotations

import math

import torch

from tfpose_mm.models.layers import gaussian_targets, local_maximum, probability_near, sample_heatmaps
from tfpose_mm.models.layers.keypoint_maps import smooth_probabilities

H, W, K = 9, 7, 5


# at least one pixel from the border, where a window of 5 pixels around them is whole
LABELS = 0.4 + 0.2 * torch.rand(3, K, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_targets_are_distributions_with_their_mean_at_the_label():
    targets = gaussian_targets(LABELS, H, W, sigma=0.8)
    assert targets.shape == (3, K, H, W)
    torch.testing.assert_close(targets.sum((-2, -1)), torch.ones(3, K).double())
    x = (torch.arange(W).double() + 0.5) / W
    y = (torch.arange(H).double() + 0.5) / H
    mean = torch.stack([(targets.sum(-2) * x).sum(-1), (targets.sum(-1) * y).sum(-1)], -1)
    torch.testing.assert_close(mean, LABELS, atol=2e-3, rtol=0)


def test_the_local_maximum_inverts_the_targets():
    found = local_maximum(gaussian_targets(LABELS, H, W, sigma=0.7).log())
    torch.testing.assert_close(found, LABELS, atol=2e-3, rtol=0)
    outside = gaussian_targets(torch.tensor([[[50.0, -3.0]]]), H, W, sigma=0.5)
    assert torch.isfinite(outside).all()
    corner = torch.tensor([[[(W - 0.5) / W, 0.5 / H]]])
    torch.testing.assert_close(local_maximum(outside.clamp(min=1e-30).log()), corner, atol=2e-3, rtol=0)


def test_modes_outside_the_window_do_not_move_the_maximum():
    logits = torch.full((1, 1, H, W), -20.0)
    logits[0, 0, 2, 1] = 5.0
    logits[0, 0, 8, 1] = logits[0, 0, 2, 6] = 4.9
    expected = torch.tensor([[[1.5 / W, 2.5 / H]]])
    torch.testing.assert_close(local_maximum(logits), expected, atol=1e-4, rtol=0)
    inside = logits.clone()
    inside[0, 0, 3, 2] = 5.0
    assert (local_maximum(inside) - expected).abs().min() > 0.03


def test_a_wide_mode_with_more_probability_wins_over_a_higher_narrow_one():
    logits = torch.full((1, 1, H, W), -20.0)
    logits[0, 0, 1, 1] = 1.0
    logits[0, 0, 6:8, 4:6] = 0.5  # four pixels, which have 2.4 times the probability together
    wide, narrow = torch.tensor([[[5 / W, 7 / H]]]), torch.tensor([[[1.5 / W, 1.5 / H]]])
    torch.testing.assert_close(local_maximum(logits, radius=2), wide, atol=1e-4, rtol=0)
    torch.testing.assert_close(local_maximum(logits, radius=0), narrow)


def test_smoothing_sums_the_probabilities_around_a_pixel():
    logits = torch.randn(2, K, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probabilities = logits.flatten(2).softmax(-1).view_as(logits)
    expected = sum(
        probabilities[1, 3, row, column] * math.exp(-((row - 5) ** 2 + (column - 2) ** 2) / (2 * 3**2))
        for row in range(H)
        for column in range(W)
    )
    torch.testing.assert_close(smooth_probabilities(logits, radius=3)[1, 3, 5, 2], expected)


def test_the_probability_near_a_point():
    logits = torch.full((2, K, H, W), -40.0)
    logits[..., 4, 3] = logits[..., 4, 6] = logits[..., 7, 3] = 0.0  # the last two are 3 pixels from the first
    near = torch.tensor([3.5 / W, 4.5 / H]).expand(2, K, 2)
    torch.testing.assert_close(probability_near(logits, near, radius=2), torch.full((2, K), 1 / 3))
    torch.testing.assert_close(probability_near(logits, near, radius=3), torch.ones(2, K))
    assert probability_near(logits, near + 0.5, radius=0).max() < 1e-6
    assert probability_near(logits, torch.tensor([50.0, -3.0]).expand(2, K, 2)).max() == 0


def test_heat_maps_are_interpolated_bilinearly_and_cut_off():
    """Outside of the map there is the value of its border."""
    heatmaps = torch.zeros(1, 1, 3, 5)
    heatmaps[0, 0, 1, 2], heatmaps[0, 0, 1, 3], heatmaps[0, 0, 2, 2] = 0.4, 0.8, 1.0
    heatmaps[0, 0, 0, 0], heatmaps[0, 0, 2, 4] = -2.0, 3.0
    for (x, y), value in (((2.5, 1), 0.6), ((2, 1.25), 0.55), ((0, 0), 0.0), ((4, 2), 1.0), ((9, 2), 1.0)):
        point = torch.tensor([[[x / 4, y / 2]]])
        torch.testing.assert_close(sample_heatmaps(heatmaps, point), torch.tensor([[value]]))
