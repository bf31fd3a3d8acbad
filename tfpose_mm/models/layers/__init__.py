"""Layers of TFPose in plain torch, mmcv and mmdet: they know no head, neck, registry or config."""

from __future__ import annotations

from ...ops import SpatialShapes
from .checks import check_feature_maps, check_norm, check_num_heads, check_position_channels, check_positive
from .decoder import DeformableTransformerDecoder, DeformableTransformerDecoderLayer, RegressionBranch
from .deformable_attention import DeformableAttention, set_attn_implementation
from .encoder import DeformableTransformerEncoder, DeformableTransformerEncoderLayer
from .keypoint_maps import KeypointMaps, gaussian_targets, local_maximum, pool_tokens, probability_near
from .keypoints import pck_accuracy, sample_heatmaps
from .records import AttentionRecord, DecoderLayerRecord, DecoderRecords, EncoderRecords
from .token_maps import encoder_reference_points, maps_to_tokens, tokens_to_maps
from .two_stage_decoder import CoordinateEmbedding, Proposal, TwoStageDecoder

__all__ = [
    "AttentionRecord",
    "CoordinateEmbedding",
    "DecoderLayerRecord",
    "DecoderRecords",
    "DeformableAttention",
    "DeformableTransformerDecoder",
    "DeformableTransformerDecoderLayer",
    "DeformableTransformerEncoder",
    "DeformableTransformerEncoderLayer",
    "EncoderRecords",
    "KeypointMaps",
    "Proposal",
    "RegressionBranch",
    "SpatialShapes",
    "TwoStageDecoder",
    "check_feature_maps",
    "check_norm",
    "check_num_heads",
    "check_position_channels",
    "check_positive",
    "encoder_reference_points",
    "gaussian_targets",
    "local_maximum",
    "maps_to_tokens",
    "pck_accuracy",
    "pool_tokens",
    "probability_near",
    "sample_heatmaps",
    "set_attn_implementation",
    "tokens_to_maps",
]
