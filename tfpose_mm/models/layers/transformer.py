"""mmcv's FFN and multi-head attention with forwards that ``torch.compile`` traces in one graph."""

from __future__ import annotations

from mmcv.cnn.bricks import transformer
from torch import Tensor

from .checks import check_num_heads


class FFN(transformer.FFN):
    """mmcv's ``FFN`` with two differences.

    Its forward has no deprecation wrapper, which ``torch.compile`` cannot trace. Its ReLU is not in place: the output
    of a linear layer is a view, and autograd copies the whole tensor several times where a view is changed in place.

    Args:
        embed_dims: Channels C.
        feedforward_channels: Hidden channels.
        ffn_drop: Dropout after each linear layer.
    """

    def __init__(self, embed_dims: int, feedforward_channels: int, ffn_drop: float) -> None:
        act_cfg = dict(type="ReLU", inplace=False)
        super().__init__(embed_dims, feedforward_channels, act_cfg=act_cfg, ffn_drop=ffn_drop)

    def forward(self, x: Tensor) -> Tensor:
        """Two linear layers with ReLU and dropout, and the residual: (..., C) to (..., C)."""
        return x + self.layers(x)


class SelfAttention(transformer.MultiheadAttention):
    """mmcv's ``MultiheadAttention`` of queries to each other, with a forward that returns its weights on request."""

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        check_num_heads(embed_dims, num_heads)
        output = dict(type="Dropout", drop_prob=dropout)
        super().__init__(embed_dims, num_heads, attn_drop=dropout, dropout_layer=output, batch_first=True)

    def forward(self, query: Tensor, query_pos: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend from every query to all queries, and add the query.

        Args:
            query: (B, K, C).
            query_pos: (B or 1, K, C), added to queries and keys, not to values.
            need_weights: Whether to return the attention weights.

        Returns:
            (B, K, C); and the attention weights (B, heads, K, K), or ``None``.
        """
        located = (query + query_pos).transpose(0, 1)  # mmcv builds torch's module with the sequence first
        attended, weights = self.attn(
            located, located, query.transpose(0, 1), need_weights=need_weights, average_attn_weights=False
        )
        return query + self.dropout_layer(self.proj_drop(attended.transpose(0, 1))), weights
