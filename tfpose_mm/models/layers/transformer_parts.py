"""mmcv's transformer parts with forwards that compile, and that do no more than this package needs."""

from __future__ import annotations

from mmcv.cnn.bricks import transformer
from torch import Tensor


class FFN(transformer.FFN):
    """mmcv's ``FFN``, whose own forward inspects its signature at every call."""

    def forward(self, x: Tensor) -> Tensor:
        """Two linear layers, and the residual.

        Args:
            x: (..., C).

        Returns:
            (..., C).
        """
        return x + self.layers(x)


class SelfAttention(transformer.MultiheadAttention):
    """mmcv's ``MultiheadAttention`` of queries among themselves; attention weights, which nobody reads, stay inside."""

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
