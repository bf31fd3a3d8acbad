"""Initial weights of the transformer parts."""

from __future__ import annotations

from torch import nn

from .deformable_attention import DeformableAttention


def init_transformer(module: nn.Module) -> None:
    """Initialise as Deformable DETR does: Xavier for matrices, the star of sampling offsets for attention.

    MMEngine initialises a module by its parents' ``init_cfg`` before its own ``init_weights``, and by a ``Pretrained``
    one after it. So this belongs into the ``init_weights`` of encoder and decoder: a parent that initialises every
    ``Linear`` (MMPose's ``VisPredictHead`` does) would zero the star, and all heads and points would sample the same
    place; a pretrained checkpoint must win.

    Args:
        module: The encoder or decoder.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for child in module.modules():
        if isinstance(child, DeformableAttention):
            child.init_weights()
