"""SimpleBaseline for export, to compare its speed with TFPose's.

MMPose decodes heat maps with numpy. The graph here does the same with tensors, so that the exported model contains the
decoding.
"""

from __future__ import annotations

import copy

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn


class PeerGraph(nn.Module):
    """A model with MMPose's ``HeatmapHead`` and ``MSRAHeatmap`` whose inputs and outputs are tensors.

    Args:
        model: The estimator; it is copied.
    """

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            images: (B, 3, h, w), normalised.

        Returns:
            Keypoints (B, K, 2), (x, y) in pixels of the input, and scores (B, K).
        """
        head = self.model.head
        locations, scores = decode_heatmaps(head(self.model.extract_feat(images)))
        return locations * locations.new_tensor(head.decoder.scale_factor), scores


def decode_heatmaps(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Decode heat maps as ``MSRAHeatmap``: the maximum, and a quarter of a pixel towards the higher neighbour.

    Args:
        maps: (B, K, h, w).

    Returns:
        Locations (B, K, 2), (x, y) in pixels of the maps, and scores (B, K).
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    index, scores = flat.argmax(-1), flat.amax(-1)
    column, row = index % width, index // width

    def read(row: Tensor, column: Tensor) -> Tensor:
        """One pixel of each map; outside, the nearest pixel of the border."""
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        return flat.gather(-1, place[..., None])[..., 0]

    inside_x = (column > 1) & (column < width - 1) & (row > 0)
    inside_y = (row > 1) & (row < height - 1) & (column > 0)
    step_x = torch.sign(read(row, column + 1) - read(row, column - 1)) * inside_x
    step_y = torch.sign(read(row + 1, column) - read(row - 1, column)) * inside_y
    locations = torch.stack([column, row], dim=-1).to(scores.dtype)
    locations = torch.where(scores[..., None] > 0, locations, torch.full_like(locations, -1))  # as MMPose, if empty
    return locations + 0.25 * torch.stack([step_x, step_y], dim=-1), scores
