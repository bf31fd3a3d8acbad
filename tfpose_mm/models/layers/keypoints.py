"""What is read at keypoints: values of heat maps, training accuracy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sample_heatmaps(heatmaps: Tensor, coordinates: Tensor) -> Tensor:
    """Interpolate each keypoint's heat map bilinearly at the keypoint's coordinates.

    Args:
        heatmaps: (B, K, H, W), UDP: the centres of the first and last pixel are label 0 and 1.
        coordinates: (B, K, 2), (x, y) in [0, 1], label units.

    Returns:
        (B, K), clamped to [0, 1].
    """
    batch, joints, height, width = heatmaps.shape
    grid = (2 * coordinates - 1).reshape(batch * joints, 1, 1, 2)
    maps = heatmaps.reshape(batch * joints, 1, height, width)
    values = F.grid_sample(maps, grid.to(maps.dtype), align_corners=True, padding_mode="border")
    return values.reshape(batch, joints).clamp(0, 1)


def pck_accuracy(predictions: Tensor, labels: Tensor, mask: Tensor, threshold: float = 0.05) -> Tensor:
    """PCK in label units: MMPose's ``keypoint_pck_accuracy`` with a norm factor of 1, without leaving the device.

    Args:
        predictions: (B, K, 2), (x, y) in [0, 1].
        labels: (B, K, 2).
        mask: (B, K), the labelled keypoints.
        threshold: Largest distance of a right keypoint. Defaults to 0.05, as in MMPose's regression heads.

    Returns:
        A scalar: each keypoint's fraction of right predictions, averaged over the keypoints that have labels; or 0.
    """
    right = ((predictions - labels).norm(dim=-1) < threshold) & mask
    number = mask.sum(0)  # (K,)
    fractions = right.sum(0) / number.clamp(min=1)
    return fractions.sum() / (number > 0).sum().clamp(min=1)
