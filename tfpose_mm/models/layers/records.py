"""What encoder and decoder computed inside, returned on request."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AttentionRecord(NamedTuple):
    """One deformable attention.

    Attributes:
        sampling_locations: (B, Q, heads, L, P, 2), (x, y); (0, 0) and (1, 1) are the outer corners of a level's
            first and last pixel.
        attention_weights: (B, Q, heads, L, P); they sum to 1 over L and P.
    """

    sampling_locations: Tensor
    attention_weights: Tensor


class EncoderRecords(NamedTuple):
    """Pixel-to-pixel attention of the encoder. Its queries are the tokens: Q = N.

    Attributes:
        spatial_shapes: (h, w) of each level; token i of a level is its pixel (i // w, i % w).
        layers: One record for each of the N_E layers.
    """

    spatial_shapes: tuple[tuple[int, int], ...]
    layers: tuple[AttentionRecord, ...]


class DecoderLayerRecord(NamedTuple):
    """One decoder layer.

    Attributes:
        query_attention: Query-to-query attention weights (B, heads, K, K); row i says what query i attends to and sums
            to 1. ``None`` if the layer has no query-to-query attention.
        sampling_locations: Of pixel-to-query attention, as in :class:`AttentionRecord` with Q = K.
        attention_weights: Of pixel-to-query attention.
    """

    query_attention: Tensor | None
    sampling_locations: Tensor
    attention_weights: Tensor


class DecoderRecords(NamedTuple):
    """The decoder.

    Attributes:
        spatial_shapes: (h, w) of each level of the memory.
        coordinates: y_0 .. y_{N_D}, (N_D + 1, B, K, 2), (x, y) in [0, 1], label units.
        layers: One record for each of the N_D layers.
    """

    spatial_shapes: tuple[tuple[int, int], ...]
    coordinates: Tensor
    layers: tuple[DecoderLayerRecord, ...]
