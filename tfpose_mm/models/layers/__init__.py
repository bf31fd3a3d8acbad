"""Pure torch modules of TFPose: they know no head, neck or config."""

from __future__ import annotations

from .checks import check_feature_maps, check_norm, check_transformer_sizes
from .cpu_attention import attend_by_gather
from .deformable_attention import DeformableAttention, SpatialShapes, attend, attend_by_grid_sample, has_cuda_kernel
from .heatmap_reading import read_heatmaps
from .keypoint_decoder import KeypointDecoder, KeypointDecoderLayer, RefinementBranch
from .linear import Linear
from .pixel_encoder import PixelEncoder, PixelEncoderLayer
from .token_maps import maps_to_tokens, token_centres, tokens_to_maps

__all__ = [
    "DeformableAttention",
    "KeypointDecoder",
    "KeypointDecoderLayer",
    "Linear",
    "PixelEncoder",
    "PixelEncoderLayer",
    "RefinementBranch",
    "SpatialShapes",
    "attend",
    "attend_by_gather",
    "attend_by_grid_sample",
    "check_feature_maps",
    "check_norm",
    "check_transformer_sizes",
    "has_cuda_kernel",
    "maps_to_tokens",
    "read_heatmaps",
    "token_centres",
    "tokens_to_maps",
]
