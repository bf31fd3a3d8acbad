"""MMPose's other heads for export, to compare their speed with TFPose's.

MMPose's codecs decode with numpy and OpenCV. The functions here do the same with tensors, so that an exported model
contains the decoding, for the codecs of :data:`CODECS`.
"""

from __future__ import annotations

from typing import Callable

import torch
from mmpose.codecs import IntegralRegressionLabel, MSRAHeatmap, RegressionLabel, SimCCLabel, UDPHeatmap
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from tfpose_mm.codecs import TFPoseLabel
from tfpose_mm.errors import UserError
from tfpose_mm.export.graph import InferenceGraph

Decoded = tuple[Tensor, Tensor]


class PeerGraph(InferenceGraph):
    """An :class:`InferenceGraph` of a model with another head of MMPose."""

    def forward(self, images: Tensor) -> Decoded:
        """As :meth:`InferenceGraph.forward`."""
        head, outputs = self.model.head, []
        head.decode = lambda output: outputs.append(output) or []  # all that `predict` does before, as tensors
        try:
            head.predict(self.features(images), [self.sample], self.test_cfg)
        finally:
            del head.decode
        return decode_tensors(head.decoder, outputs[0])


def decode_tensors(codec: BaseKeypointCodec, outputs: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Decode what a head passes to its codec.

    Args:
        codec: The codec.
        outputs: Heat maps (B, K, h, w); or SimCC's vectors (B, K, W) and (B, K, H); or coordinates (B, 1, K, 2), or
            (B, 1, K, 4) with sigma.

    Returns:
        Keypoints (B, K, 2), (x, y) in pixels of the input, and scores (B, K).

    Raises:
        UserError: If there is no decoding for the codec or its options.
    """
    for kind, (decode, unsupported) in CODECS.items():
        if type(codec) is kind:
            options = [name for name, value in unsupported.items() if getattr(codec, name) != value]
            if not options:
                return decode(codec, outputs)
            raise UserError(
                f"A {kind.__name__} can be exported with {options[0]}={unsupported[options[0]]!r} only, but has "
                f"{getattr(codec, options[0])!r}: use that value, or another codec."
            )
    names = ", ".join(kind.__name__ for kind in CODECS)
    raise UserError(f"Only the codecs {names} can be exported, but the head has a {type(codec).__name__}.")


def _regression(codec: BaseKeypointCodec, outputs: Tensor) -> tuple[Tensor, Tensor]:
    outputs = outputs[:, 0]
    codec = getattr(codec, "keypoint_codec", codec)  # that of IntegralRegressionLabel
    keypoints = outputs[..., :2] * outputs.new_tensor(codec.input_size)
    if outputs.shape[-1] == 4:
        return keypoints, 1 - outputs[..., 2:].mean(-1)
    return keypoints, torch.ones_like(keypoints[..., 0])


def _simcc(codec: SimCCLabel, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    locations = torch.stack([vector.argmax(-1) for vector in outputs], dim=-1)
    scores = torch.minimum(*(vector.amax(-1) for vector in outputs))
    return _mark_empty(locations, scores) / codec.simcc_split_ratio, scores


def _msra_heatmap(codec: MSRAHeatmap, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum, and a quarter of a pixel towards the higher neighbour on each axis."""
    height, width = maps.shape[-2:]
    column, row, scores = _maximum(maps)
    read = _PixelReader(maps)
    inside_x = (column > 1) & (column < width - 1) & (row > 0)
    inside_y = (row > 1) & (row < height - 1) & (column > 0)
    step_x = torch.sign(read(row, column + 1) - read(row, column - 1)) * inside_x
    step_y = torch.sign(read(row + 1, column) - read(row - 1, column)) * inside_y
    locations = _mark_empty(torch.stack([column, row], dim=-1), scores) + 0.25 * torch.stack([step_x, step_y], dim=-1)
    return locations * maps.new_tensor(codec.scale_factor), scores


def _udp_heatmap(codec: UDPHeatmap, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum, and a Newton step on the logarithm of the smoothed map (DARK)."""
    column, row, scores = _maximum(maps)
    locations = _mark_empty(torch.stack([column, row], dim=-1), scores)
    column, row = locations.long().unbind(-1)
    smooth = _gaussian_blur(maps, codec.blur_kernel_size)
    smooth = smooth * (maps.amax((-2, -1), keepdim=True) / smooth.amax((-2, -1), keepdim=True))
    read = _PixelReader(smooth.clamp(1e-3, 50).log())
    around = {(y, x): read(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1) if x == y or not x or not y}
    here, left, right, above, below = (around[key] for key in ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)))
    dx, dy = 0.5 * (right - left), 0.5 * (below - above)
    epsilon = torch.finfo(torch.float32).eps
    dxx, dyy = right - 2 * here + left + epsilon, below - 2 * here + above + epsilon
    dxy = 0.5 * (around[1, 1] - right - below + here + here - left - above + around[-1, -1])
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1) / (dxx * dyy - dxy * dxy)[..., None]
    width, height = codec.heatmap_size
    factor = [side / (pixels - 1) for side, pixels in zip(codec.input_size, (width, height))]
    return (locations - step) * maps.new_tensor(factor), scores


def _maximum(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Column, row and value of the maximum of each map, each (B, K)."""
    flat = maps.flatten(2)
    index = flat.argmax(-1)
    return index % maps.shape[-1], index // maps.shape[-1], flat.amax(-1)


def _mark_empty(locations: Tensor, scores: Tensor) -> Tensor:
    """Locations (B, K, 2) as floats; -1 where the score is not positive, as in MMPose."""
    locations = locations.to(scores.dtype)
    return torch.where(scores[..., None] > 0, locations, torch.full_like(locations, -1))


class _PixelReader:
    """Read one pixel of each map; outside, the nearest pixel of the border."""

    def __init__(self, maps: Tensor) -> None:
        self.height, self.width = maps.shape[-2:]
        self.flat = maps.flatten(2)

    def __call__(self, row: Tensor, column: Tensor) -> Tensor:
        index = row.clamp(0, self.height - 1) * self.width + column.clamp(0, self.width - 1)
        return self.flat.gather(-1, index[..., None])[..., 0]


def _gaussian_blur(maps: Tensor, kernel: int) -> Tensor:
    """OpenCV's Gaussian blur with its default sigma and zeros outside."""
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    radius = (kernel - 1) // 2
    total = sum(torch.exp(torch.tensor(-(i**2) / (2 * sigma**2))) for i in range(-radius, radius + 1))
    matrices = []
    for size in maps.shape[-2:]:
        axis = torch.arange(size, dtype=maps.dtype)
        distance = axis[:, None] - axis
        weights = torch.exp(-(distance**2) / (2 * sigma**2)) / total
        matrices.append(weights * (distance.abs() <= radius))
    return matrices[0] @ maps @ matrices[1]


# the decoding of each codec, and the options that it needs
CODECS: dict[type[BaseKeypointCodec], tuple[Callable[..., Decoded], dict]] = {
    TFPoseLabel: (_regression, {}),
    RegressionLabel: (_regression, {}),
    IntegralRegressionLabel: (_regression, {}),
    SimCCLabel: (_simcc, dict(use_dark=False, decode_visibility=False)),
    MSRAHeatmap: (_msra_heatmap, dict(unbiased=False)),
    UDPHeatmap: (_udp_heatmap, dict(heatmap_type="gaussian")),
}
