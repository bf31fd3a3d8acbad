"""Layers of TFPose in plain torch, mmcv and mmdet: they know no head, neck, registry or config."""

from __future__ import annotations

from .checks import check_feature_maps, check_norm, check_num_heads, check_position_channels, check_positive
from .decoder import DeformableTransformerDecoder, DeformableTransformerDecoderLayer, RegressionBranch
from .deformable_attention import DeformableAttention, set_attn_implementation
from .encoder import DeformableTransformerEncoder, DeformableTransformerEncoderLayer
from .keypoints import pck_accuracy, sample_heatmaps
from .records import AttentionRecord, DecoderLayerRecord, DecoderRecords, EncoderRecords
from .token_maps import encoder_reference_points, maps_to_tokens, tokens_to_maps

__all__ = [
    "AttentionRecord",
    "DecoderLayerRecord",
    "DecoderRecords",
    "DeformableAttention",
    "DeformableTransformerDecoder",
    "DeformableTransformerDecoderLayer",
    "DeformableTransformerEncoder",
    "DeformableTransformerEncoderLayer",
    "EncoderRecords",
    "RegressionBranch",
    "check_feature_maps",
    "check_norm",
    "check_num_heads",
    "check_position_channels",
    "check_positive",
    "encoder_reference_points",
    "maps_to_tokens",
    "pck_accuracy",
    "sample_heatmaps",
    "set_attn_implementation",
    "tokens_to_maps",
]
