"""Checks of sizes that a user configures. ``owner`` is the name of the configured module; it begins the message."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...errors import UserError


def check_num_heads(channels: int, num_heads: int) -> None:
    """Raise a UserError if the attention heads do not divide the channels C."""
    if num_heads < 1 or channels % num_heads:
        raise UserError(
            f"Attention needs channels that its heads divide, but got {channels} channels and {num_heads} heads: "
            "change one of them, as in 256 and 8."
        )


def check_positive(owner: str, **numbers: int) -> None:
    """Raise a UserError if one of the numbers is not at least 1."""
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{owner} needs {name} of 1 or more, but got {number}.")


def check_position_channels(owner: str, channels: int) -> None:
    """Raise a UserError if C is not a multiple of 4, which sine and cosine of x and y need."""
    if channels % 4:
        raise UserError(f"{owner} needs a multiple of 4 channels for the position embedding, but got {channels}.")


def check_norm(owner: str, channels: int, norm_cfg: dict | None) -> None:
    """Raise a UserError if ``norm_cfg`` is a group norm whose groups do not divide the channels C."""
    groups = (norm_cfg or {}).get("num_groups", 1)
    if channels % groups:
        raise UserError(
            f"{owner} needs channels that the groups of its norm divide, but got {channels} channels and {groups} "
            "groups: set norm_cfg=dict(type='GN', num_groups=...) to fit."
        )


def check_feature_maps(owner: str, feats: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Raise a UserError if the maps, each (B, C_l, h, w), differ from ``in_channels`` in number, rank or channels."""
    got = [tuple(feat.shape) for feat in feats]
    if [shape[1] if len(shape) == 4 else None for shape in got] != list(in_channels):
        raise UserError(
            f"{owner} was built for {len(in_channels)} feature maps (B, C, h, w) of {list(in_channels)} channels, "
            f"but got maps of shape {got}: set its in_channels, or the backbone's out_indices, so that they agree."
        )
