"""Layers of TFPose in plain torch, mmcv and mmdet: they know no head, neck, registry or config."""

from __future__ import annotations

from ...ops import SpatialShapes
from .checks import check_feature_maps, check_norm, check_position_channels, check_positive
from .decoder import DeformableTransformerDecoder, RegressionBranch
from .deformable_attention import DeformableAttention, set_attn_implementation
from .encoder import DeformableTransformerEncoder
from .keypoint_maps import gaussian_targets, local_maximum, probability_near, sample_heatmaps
from .positions import CoordinateEmbedding
from .records import AttentionRecord, TransformerRecords
from .token_maps import maps_to_tokens, tokens_to_maps

__all__ = [
    "AttentionRecord",
    "CoordinateEmbedding",
    "DeformableAttention",
    "DeformableTransformerDecoder",
    "DeformableTransformerEncoder",
    "RegressionBranch",
    "SpatialShapes",
    "TransformerRecords",
    "check_feature_maps",
    "check_norm",
    "check_position_channels",
    "check_positive",
    "gaussian_targets",
    "local_maximum",
    "maps_to_tokens",
    "probability_near",
    "sample_heatmaps",
    "set_attn_implementation",
    "tokens_to_maps",
]
