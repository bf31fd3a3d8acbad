"""Keypoint maps: targets, maxima, probabilities; and values of heat maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_centres(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of the rows and columns of a map: y (h,) and x (w,), in (0, 1).

    0 and 1 are the outer edges of the map, as in deformable attention. ``TFPoseLabel`` uses the centres of the first
    and last input pixel instead. The difference is at most half a pixel of the input. Targets and maxima use the same
    centres.
    """
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    return y, x


def spatial_softmax(logits: Tensor) -> Tensor:
    """The softmax over the pixels of each map, (B, K, h, w)."""
    return logits.flatten(2).softmax(-1).view_as(logits)


def smooth_probabilities(logits: Tensor, radius: int) -> Tensor:
    """The softmax of each map, smoothed with a Gaussian.

    The Gaussian is not normalised: a value is the sum of the probabilities around a pixel, weighted with 1 at the pixel
    and less at a distance. For a Gaussian as wide as that of OKS, this is the expected OKS of the pixel.

    Args:
        logits: (B, K, h, w).
        radius: Standard deviation of the Gaussian in pixels of the map; 0 does not smooth.

    Returns:
        (B, K, h, w). Pixels outside the map have the probability 0.
    """
    probabilities = spatial_softmax(logits)
    if radius == 0:
        return probabilities
    rows, columns = (torch.arange(size, device=logits.device, dtype=logits.dtype) for size in logits.shape[-2:])
    weights = [torch.exp(-((axis[:, None] - axis) ** 2) / (2 * radius**2)) for axis in (rows, columns)]
    return weights[0] @ probabilities @ weights[1]


def local_maximum(logits: Tensor, radius: int = 2) -> Tensor:
    """The maximum of each smoothed map, refined by the mean of the softmax in a window around it.

    A mean over the whole map would lie between two modes; a mean in a window stays at one. Without smoothing, a high
    narrow mode could win over a wide one that has more probability.

    Args:
        logits: (B, K, h, w).
        radius: The window has (2 * radius + 1)^2 pixels, fewer at the border. The radius is also the standard deviation
            of :func:`smooth_probabilities`.

    Returns:
        (B, K, 2), (x, y) in (0, 1).
    """
    height, width = logits.shape[-2:]
    index = smooth_probabilities(logits, radius).flatten(2).argmax(-1)  # (B, K)
    row, column = index // width, index % width
    rows, columns = torch.arange(height, device=logits.device), torch.arange(width, device=logits.device)
    near_row = (rows - row[..., None]).abs() <= radius  # (B, K, h)
    near_column = (columns - column[..., None]).abs() <= radius  # (B, K, w)
    window = near_row[..., :, None] & near_column[..., None, :]
    weights = spatial_softmax(logits.masked_fill(~window, float("-inf")))
    y, x = pixel_centres(height, width, weights)
    return torch.stack([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], dim=-1)


def probability_near(logits: Tensor, coordinates: Tensor, radius: int = 2) -> Tensor:
    """The probability that each map gives to the square around a point. It is a score of the point.

    Args:
        logits: Keypoint maps (B, K, h, w).
        coordinates: (B, K, 2), (x, y) in [0, 1].
        radius: The square has sides of 2 * radius + 1 pixels.

    Returns:
        (B, K), in [0, 1].
    """
    height, width = logits.shape[-2:]
    probabilities = spatial_softmax(logits)
    y, x = pixel_centres(height, width, probabilities)
    near_x = ((x - coordinates[..., :1]) * width).abs() <= radius + 0.5  # (B, K, w)
    near_y = ((y - coordinates[..., 1:]) * height).abs() <= radius + 0.5
    return (probabilities * (near_y[..., :, None] & near_x[..., None, :])).sum((-2, -1)).clamp(max=1)


def gaussian_targets(labels: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Compute the target of each keypoint's map: a Gaussian around the label.

    Args:
        labels: (B, K, 2), (x, y) in [0, 1].
        height: Rows of the map.
        width: Columns of the map.
        sigma: Standard deviation in pixels of the map.

    Returns:
        (B, K, h, w); each map sums to 1, also if the label is outside.
    """
    y, x = pixel_centres(height, width, labels)
    squared_x = ((x - labels[..., :1]) * width) ** 2  # (B, K, w)
    squared_y = ((y - labels[..., 1:]) * height) ** 2
    exponent = -(squared_y[..., :, None] + squared_x[..., None, :]) / (2 * sigma**2)
    return exponent.flatten(2).softmax(-1).unflatten(-1, (height, width))


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
