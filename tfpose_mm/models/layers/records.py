"""What encoder and decoder computed inside, returned on request."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class AttentionRecord(NamedTuple):
    """The attention of one layer. In the encoder the queries are the tokens, Q = N; in the decoder Q = K.

    Attributes:
        sampling_locations: Of deformable attention, (B, Q, heads, L, P, 2), (x, y); (0, 0) and (1, 1) are the outer
            corners of a level's first and last pixel.
        attention_weights: Of deformable attention, (B, Q, heads, L, P); they sum to 1 over L and P.
        query_attention: Weights of query-to-query attention, (B, heads, K, K); row i says what query i attends to and
            sums to 1. ``None`` in the encoder, and in a decoder layer without this attention.
    """

    sampling_locations: Tensor
    attention_weights: Tensor
    query_attention: Tensor | None = None


class TransformerRecords(NamedTuple):
    """The encoder or the decoder.

    Attributes:
        spatial_shapes: (h, w) of each level; token i of a level is its pixel (i // w, i % w).
        layers: One record for each of the N_E or N_D layers.
        coordinates: y_0 .. y_{N_D}, (N_D + 1, B, K, 2), (x, y) in [0, 1], label units; ``None`` for the encoder.
    """

    spatial_shapes: tuple[tuple[int, int], ...]
    layers: tuple[AttentionRecord, ...]
    coordinates: Tensor | None = None
