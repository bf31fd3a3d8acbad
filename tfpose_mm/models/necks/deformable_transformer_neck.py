"""The transformer encoder of TFPose as a neck for MMPose's heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmpose.models.necks import ChannelMapper
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptMultiConfig
from torch import Tensor

from ...errors import UserError
from ..layers import (
    AttentionRecord,
    DeformableTransformerEncoder,
    TransformerRecords,
    check_feature_maps,
    check_norm,
    check_position_channels,
    maps_to_tokens,
    tokens_to_maps,
)


@MODELS.register_module()
class DeformableTransformerNeck(BaseModule):
    """Project the levels to the same number of channels, then apply the deformable transformer encoder.

    ::

        backbone          neck                                                   head
        C3  stride  8 --> 1x1 conv, norm --+                             +--> (B, C, h/8,  w/8 )
        C4  stride 16 --> 1x1 conv, norm --+--> tokens --> N_E layers ---+--> (B, C, h/16, w/16)
        C5  stride 32 --> 1x1 conv, norm --+    + level and pixel        +--> (B, C, h/32, w/32)
                                                  embedding

    Number, order and sizes of the levels do not change. Tested with MMPose's ``HeatmapHead``, ``SimCCHead``,
    ``RTMCCHead``, ``DSNTHead``, ``RegressionHead`` and ``RLEHead``. The text of the paper says C2..C5. The GFLOPs of
    its tables agree with C3..C5 for models with an encoder and with C2..C5 for models without one.

    Source: TFPose, section 3.2 and Figure 3; group norm after the projection as in Deformable DETR.

    Args:
        in_channels: Channels of each input map, fine to coarse.
        out_channels: Channels C of every output map. Defaults to 256.
        num_layers: Encoder layers N_E; with 0 the neck only projects. Defaults to 6.
        norm_cfg: Norm after the projection. Defaults to group norm with 32 groups.
        init_cfg: MMEngine's initialisation of the whole neck. Defaults to ``None``.
        **layer_cfg: Arguments of :class:`DeformableTransformerEncoderLayer`: ``num_heads`` (8), ``num_points`` (4),
            ``feedforward_channels`` (1024) and ``dropout`` (0.1).

    Raises:
        UserError: If sizes do not agree, on construction or in :meth:`forward`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_layers: int = 6,
        norm_cfg: ConfigType | None = dict(type="GN", num_groups=32),  # noqa: B006 - read only, as in MMPose
        init_cfg: OptMultiConfig = None,
        **layer_cfg: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        super().__init__(init_cfg)
        check_norm("DeformableTransformerNeck", out_channels, norm_cfg)
        if num_layers < 0:
            raise UserError(f"DeformableTransformerNeck needs num_layers of 0 or more, but got {num_layers}.")
        self.in_channels = list(in_channels)
        self.out_channels = out_channels
        self.input_proj = ChannelMapper(self.in_channels, out_channels, kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        self.transformer_encoder = None
        if num_layers:
            self.transformer_encoder = DeformableTransformerEncoder(
                num_layers, out_channels, len(self.in_channels), **layer_cfg
            )
            check_position_channels("DeformableTransformerNeck", out_channels)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the memory M as maps.

        Args:
            feats: (B, in_channels[l], h_l, w_l) for each level, fine to coarse.

        Returns:
            (B, C, h_l, w_l) for each level.
        """
        return self._encode(feats, None)

    def forward_with_records(self, feats: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], TransformerRecords]:
        """Return the maps of :meth:`forward` and the attention record of each encoder layer (none without layers)."""
        records: list[AttentionRecord] = []
        maps = self._encode(feats, records)
        return maps, TransformerRecords(tuple((level.shape[-2], level.shape[-1]) for level in maps), tuple(records))

    def _encode(self, feats: Sequence[Tensor], records: list[AttentionRecord] | None) -> tuple[Tensor, ...]:
        check_feature_maps("DeformableTransformerNeck", feats, self.in_channels)
        maps = self.input_proj(feats)
        if self.transformer_encoder is None:
            return maps
        tokens, spatial_shapes = maps_to_tokens(maps)
        return tokens_to_maps(self.transformer_encoder(tokens, spatial_shapes, records), spatial_shapes)
