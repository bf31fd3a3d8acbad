"""Sizes that a user configures, checked at the door."""

from __future__ import annotations

from typing import Sequence

from torch import Tensor


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


def check_norm(owner: str, channels: int, norm_cfg: dict | None) -> None:
    """Refuse a group norm that the channels cannot be split for.

    Args:
        owner: The module the user configured, for the message.
        channels: Channels C.
        norm_cfg: Config of the norm, as mmcv takes it.

    Raises:
        ValueError: If it is a group norm and its groups do not divide C.
    """
    groups = (norm_cfg or {}).get("num_groups", 1)
    if channels % groups:
        raise ValueError(
            f"{owner} needs channels that the groups of its norm divide, but got {channels} channels and {groups} "
            "groups: set norm_cfg=dict(type='GN', num_groups=...) to fit."
        )
