"""Initial weights of the transformer."""

from __future__ import annotations

from torch import nn

from .deformable_attention import DeformableAttention


def init_transformer(module: nn.Module) -> None:
    """Initialise layers as Deformable DETR does: Xavier for matrices, mmcv's radial bias for the sampling offsets.

    Call this in the ``init_weights`` of encoder and decoder: MMEngine applies a parent's ``init_cfg`` before that and a
    ``Pretrained`` one after it. A parent that initialises every ``Linear``, as ``VisPredictHead`` does, would otherwise
    set that bias to zero: all heads and points would sample the same place.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for child in module.modules():
        if isinstance(child, DeformableAttention):
            child.init_weights()
