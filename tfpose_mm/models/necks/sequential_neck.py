"""Several necks in sequence."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import Sequential
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType

from ...errors import UserError


@MODELS.register_module()
class SequentialNeck(Sequential):
    """Apply necks in sequence, for example a deformable transformer, then pooling for a fully connected head.

    MMPose silently ignores a list of necks. With this module the config has one dict instead.

    Args:
        necks: Configs of the necks, first to last.

    Raises:
        UserError: If there is no neck.
    """

    def __init__(self, necks: Sequence[ConfigType]) -> None:
        if not necks:
            raise UserError("SequentialNeck needs at least one neck, but got none.")
        super().__init__(*(MODELS.build(neck) for neck in necks))
