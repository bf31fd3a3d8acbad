"""Keypoint maps from the tokens. They give y_0, the content of the queries and scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import SpatialShapes
from .token_maps import tokens_to_maps


class KeypointMaps(nn.Module):
    """Linear layers from the tokens to a map for each keypoint.

    The layer of each level predicts ``upscale`` x ``upscale`` pixels of each map for a token. The predictions of coarse
    levels are interpolated to the finest level and added. A pixel shuffle then arranges the pixels.

    Not in TFPose. PETR, Group Pose and DETRPose start their decoders from such proposals on encoder tokens.

    Args:
        embed_dims: Channels C of the tokens.
        num_keypoints: Keypoints K.
        num_levels: Levels L.
        upscale: Pixels for a token of the finest level in each direction. Defaults to 2: a stride of 8 becomes 4.
    """

    def __init__(self, embed_dims: int, num_keypoints: int, num_levels: int, upscale: int = 2) -> None:
        super().__init__()
        self.upscale = upscale
        outputs = num_keypoints * upscale**2
        self.classifiers = nn.ModuleList(nn.Linear(embed_dims, outputs) for _ in range(num_levels))

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """Predict the maps.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level, the finest first.

        Returns:
            Logits (B, K, upscale * h, upscale * w), with (h, w) of the finest level, at least float32. Their softmax
            over the pixels is the probability of the keypoint's pixel.
        """
        levels = memory.split([h * w for h, w in spatial_shapes], dim=1)
        finest = spatial_shapes[0]
        logits = []
        for classifier, tokens, shape in zip(self.classifiers, levels, spatial_shapes):
            level = tokens_to_maps(classifier(tokens), [shape])[0]  # (B, K * upscale^2, h_l, w_l)
            level = level.float() if level.dtype in (torch.float16, torch.bfloat16) else level
            logits.append(F.interpolate(level, size=finest, mode="bilinear", align_corners=False))
        return F.pixel_shuffle(sum(logits[1:], logits[0]), self.upscale)


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


def pool_tokens(logits: Tensor, memory: Tensor, spatial_shapes: SpatialShapes, upscale: int) -> Tensor:
    """Mean of the finest level's tokens, weighted by the softmax of each keypoint's map.

    Args:
        logits: Keypoint maps (B, K, upscale * h, upscale * w).
        memory: M, (B, N, C).
        spatial_shapes: (h, w) of each level, the finest first.
        upscale: Pixels for a token in each direction.

    Returns:
        (B, K, C).
    """
    height, width = spatial_shapes[0]
    probabilities = spatial_softmax(logits)
    weights = F.avg_pool2d(probabilities, upscale, divisor_override=1).flatten(2)  # sums over the pixels of each token
    return weights.to(memory.dtype) @ memory[:, : height * width]


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
