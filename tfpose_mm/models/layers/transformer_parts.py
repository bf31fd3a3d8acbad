"""mmcv's transformer parts with forwards that compile, and that do no more than this package needs."""

from __future__ import annotations

import torch
from mmcv.cnn.bricks import transformer
from mmengine.model import Sequential
from torch import Tensor, nn

from .compilation import infers_on_cpu
from .linear import Linear, is_plain

PIECE = 1024  # tokens whose hidden channels remain in the cache of a CPU


class FFN(transformer.FFN):
    """mmcv's ``FFN``, whose own forward inspects its signature at every call.

    Args:
        embed_dims: Channels C.
        feedforward_channels: Hidden channels.
        ffn_drop: Dropout of hidden channels and output.
    """

    def __init__(self, embed_dims: int, feedforward_channels: int, ffn_drop: float = 0.0) -> None:
        super().__init__(embed_dims, feedforward_channels, ffn_drop=ffn_drop)
        first, second, _ = self.layers
        first[0], self.layers[1] = Linear.like(first[0]), Linear.like(second)

    def forward(self, x: Tensor) -> Tensor:
        """Two linear layers, and the residual.

        Args:
            x: (..., C).

        Returns:
            (..., C).
        """
        if not (infers_on_cpu(x) and self._is_plain()):
            return x + self.layers(x)
        output = torch.empty_like(x, memory_format=torch.contiguous_format)
        (first, *_), second, _ = self.layers
        channels = x.shape[-1]
        rows = x.numel() // channels
        number = max(1, -(-rows // PIECE))
        expand = contract = None
        for piece, result in zip(*(tokens.reshape(-1, channels).tensor_split(number) for tokens in (x, output))):
            expand = expand or first.prepared(piece, rows, relu=True)
            hidden = expand(piece)
            contract = contract or second.prepared(hidden, rows)
            torch.add(piece, contract(hidden), out=result)
        return output

    def _is_plain(self) -> bool:
        """Whether the layers are linear, ReLU and linear as they were made, without dropout, and nobody listens in."""
        parts = list(self.layers.modules())
        kinds = (Sequential, Sequential, Linear, nn.ReLU, nn.Dropout, Linear, nn.Dropout)
        return len(parts) == len(kinds) and all(
            is_plain(part, kind) and not part.training for part, kind in zip(parts, kinds)
        )


class SelfAttention(transformer.MultiheadAttention):
    """mmcv's ``MultiheadAttention`` of queries among themselves; attention weights, which nobody reads, stay inside.

    Args:
        embed_dims: Channels C.
        num_heads: Attention heads.
        dropout: Dropout of attention weights and output.
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        output = dict(type="Dropout", drop_prob=dropout)
        super().__init__(embed_dims, num_heads, attn_drop=dropout, dropout_layer=output, batch_first=True)

    def forward(self, query: Tensor, query_pos: Tensor) -> Tensor:
        """Attend, and add the query.

        Args:
            query: (B, K, C).
            query_pos: (B or 1, K, C), added to queries and keys, not to values.

        Returns:
            (B, K, C).
        """
        located = (query + query_pos).transpose(0, 1)  # the attention within is not batch first
        attended, _ = self.attn(located, located, query.transpose(0, 1), need_weights=False)
        return query + self.dropout_layer(self.proj_drop(attended.transpose(0, 1)))
