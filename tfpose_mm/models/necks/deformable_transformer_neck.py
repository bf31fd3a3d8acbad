"""The encoder half of TFPose as a neck for any MMPose head."""

from __future__ import annotations

from typing import Sequence

from mmengine.model import BaseModule
from mmpose.models.necks import ChannelMapper
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptMultiConfig
from torch import Tensor

from ..layers import (
    PixelEncoder,
    check_feature_maps,
    check_norm,
    check_transformer_sizes,
    maps_to_tokens,
    tokens_to_maps,
)


@MODELS.register_module()
class DeformableTransformerNeck(BaseModule):
    """Project the levels to one width and let their pixels attend to each other.

    ::

        backbone          neck                                                   head
        C3  stride  8 --> 1x1 conv, norm --+                             +--> (B, C, h/8,  w/8 )
        C4  stride 16 --> 1x1 conv, norm --+--> tokens --> N_E layers ---+--> (B, C, h/16, w/16)
        C5  stride 32 --> 1x1 conv, norm --+    + level and pixel        +--> (B, C, h/32, w/32)
                                                  embedding

    Number, order and sizes of the levels stay as they come in, so that the neck fits before any MMPose head. The paper
    says C2..C5; its tables' GFLOPs are met by C3..C5 with an encoder and by C2..C5 without one.

    Source: TFPose, section 3.2 and Figure 3; group norm after the projection as in Deformable DETR.

    Args:
        in_channels: Channels of each input map, fine to coarse.
        out_channels: Channels C of every output map. Defaults to 256.
        num_layers: Encoder layers N_E; with 0 the neck only projects. Defaults to 6.
        num_heads: Attention heads; they must divide C. Defaults to 8.
        num_points: Sampling points of a head on a level. Defaults to 4.
        feedforward_channels: Hidden channels of the FFN. Defaults to 1024.
        dropout: Dropout of the encoder. Defaults to 0.1, as in Deformable DETR.
        norm_cfg: Norm after the projection. Defaults to group norm with 32 groups.
        init_cfg: MMEngine's initialisation of the whole neck. Defaults to ``None``.

    Raises:
        ValueError: If sizes do not fit together, here or in :meth:`forward`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        norm_cfg: ConfigType | None = dict(type="GN", num_groups=32),  # noqa: B006 - read only, as in MMPose
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        check_norm("DeformableTransformerNeck", out_channels, norm_cfg)
        if num_layers < 0:
            raise ValueError(f"DeformableTransformerNeck needs num_layers of 0 or more, but got {num_layers}.")
        self.in_channels = list(in_channels)
        self.out_channels = out_channels
        self.input_proj = ChannelMapper(self.in_channels, out_channels, kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        self.transformer_encoder = None
        if num_layers:
            check_transformer_sizes("DeformableTransformerNeck", out_channels, num_heads)
            self.transformer_encoder = PixelEncoder(
                embed_dims=out_channels,
                num_layers=num_layers,
                num_levels=len(self.in_channels),
                num_heads=num_heads,
                num_points=num_points,
                feedforward_channels=feedforward_channels,
                dropout=dropout,
            )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the memory M, as maps.

        Args:
            feats: (B, in_channels[l], h_l, w_l) for each level, fine to coarse.

        Returns:
            (B, C, h_l, w_l) for each level.

        Raises:
            ValueError: If the maps are not those the neck was built for.
        """
        check_feature_maps("DeformableTransformerNeck", feats, self.in_channels)
        maps = self.input_proj(feats)
        if self.transformer_encoder is None:
            return maps
        tokens, spatial_shapes = maps_to_tokens(maps)
        return tokens_to_maps(self.transformer_encoder(tokens, spatial_shapes), spatial_shapes)
