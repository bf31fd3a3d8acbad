"""Values of heat maps at real-valued points."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def read_heatmaps(heatmaps: Tensor, coordinates: Tensor) -> Tensor:
    """How high each keypoint's heat map is where the keypoint was predicted, between pixels bilinearly.

    Args:
        heatmaps: (B, K, H, W), UDP: the centres of the first and last pixel are label 0 and 1.
        coordinates: (B, K, 2), (x, y) in [0, 1], label units.

    Returns:
        (B, K), in [0, 1]: what lies outside, as an unbounded branch may predict, is cut off.
    """
    batch, joints, height, width = heatmaps.shape
    grid = (2 * coordinates - 1).reshape(batch * joints, 1, 1, 2)
    maps = heatmaps.reshape(batch * joints, 1, height, width)
    values = F.grid_sample(maps, grid.to(maps.dtype), align_corners=True, padding_mode="border")
    return values.reshape(batch, joints).clamp(0, 1)
