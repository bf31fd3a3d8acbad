"""Initial weights of the transformer parts, and the checks their sizes must pass."""

from __future__ import annotations

from typing import Sequence

from torch import Tensor, nn

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


def check_transformer_sizes(owner: str, channels: int, num_heads: int) -> None:
    """Refuse sizes that no transformer layer can be built from.

    Args:
        owner: The module the user configured, for the message.
        channels: Channels C.
        num_heads: Attention heads.

    Raises:
        ValueError: If the heads do not divide C, or C is not a multiple of 4 (sine and cosine of x and y).
    """
    if num_heads < 1 or channels % num_heads:
        raise ValueError(
            f"{owner} needs channels that its heads divide, but got {channels} channels and {num_heads} heads: "
            "change one of them, as in 256 and 8."
        )
    if channels % 4:
        raise ValueError(f"{owner} needs a multiple of 4 channels for the position embedding, but got {channels}.")


def check_feature_maps(owner: str, feats: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Refuse feature maps that differ from what the module was built for.

    Args:
        owner: The module the user configured, for the message.
        feats: The maps that arrived, each (B, C_l, h, w).
        in_channels: The channels expected of each level.

    Raises:
        ValueError: If the number of maps, their rank or their channels differ.
    """
    got = [tuple(feat.shape) for feat in feats]
    if [shape[1] if len(shape) == 4 else None for shape in got] != list(in_channels):
        raise ValueError(
            f"{owner} was built for {len(in_channels)} feature maps (B, C, h, w) of {list(in_channels)} channels, "
            f"but got maps of shape {got}: set its in_channels, or the backbone's out_indices, so that they agree."
        )
