"""Keypoint maps on the tokens of the finest level. They give y_0 and the content of the queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...ops import SpatialShapes
from .token_maps import tokens_to_maps


class KeypointMaps(nn.Module):
    """One linear layer from the tokens of the finest level to a map for each keypoint.

    Not in TFPose. PETR, Group Pose and DETRPose start their decoders from such proposals on encoder tokens.

    Args:
        embed_dims: Channels C of the tokens.
        num_keypoints: Keypoints K.
    """

    def __init__(self, embed_dims: int, num_keypoints: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embed_dims, num_keypoints)

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """Predict the maps.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level, the finest first.

        Returns:
            Logits (B, K, h, w) of the finest level, at least float32; their softmax over the pixels is the probability
            of the keypoint's pixel.
        """
        height, width = spatial_shapes[0]
        logits = self.classifier(memory[:, : height * width])  # (B, h * w, K)
        logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        return tokens_to_maps(logits, spatial_shapes[:1])[0]


def pixel_centres(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Centres of the rows and columns of a map: y (h,) and x (w,), in (0, 1).

    0 and 1 are the outer edges of the map, as in deformable attention. ``TFPoseLabel`` uses the centres of the first
    and last input pixel instead. The difference is at most half a pixel of the input. Targets and maxima use the same
    centres.
    """
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    return y, x


def local_maximum(logits: Tensor, radius: int = 2) -> Tensor:
    """The maximum of each map, refined by the mean of the softmax in a window around it.

    A mean over the whole map would lie between two modes; a mean in a window stays at one.

    Args:
        logits: (B, K, h, w).
        radius: The window has (2 * radius + 1)^2 pixels, fewer at the border.

    Returns:
        (B, K, 2), (x, y) in (0, 1).
    """
    height, width = logits.shape[-2:]
    index = logits.flatten(2).argmax(-1)  # (B, K)
    row, column = index // width, index % width
    rows, columns = torch.arange(height, device=logits.device), torch.arange(width, device=logits.device)
    near_row = (rows - row[..., None]).abs() <= radius  # (B, K, h)
    near_column = (columns - column[..., None]).abs() <= radius  # (B, K, w)
    window = near_row[..., :, None] & near_column[..., None, :]
    weights = logits.masked_fill(~window, float("-inf")).flatten(2).softmax(-1).view_as(logits)
    y, x = pixel_centres(height, width, weights)
    return torch.stack([(weights.sum(-2) * x).sum(-1), (weights.sum(-1) * y).sum(-1)], dim=-1)


def pool_tokens(logits: Tensor, memory: Tensor) -> Tensor:
    """Mean of the finest level's tokens, weighted by the softmax of each keypoint's map.

    Args:
        logits: (B, K, h, w).
        memory: (B, N, C); the first h * w tokens are the finest level.

    Returns:
        (B, K, C).
    """
    weights = logits.flatten(2).softmax(-1)
    return weights.to(memory.dtype) @ memory[:, : weights.shape[-1]]


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
