"""Several necks as one."""

from __future__ import annotations

from typing import Sequence

from mmengine.model import Sequential
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType


@MODELS.register_module()
class SequentialNeck(Sequential):
    """Necks one after another, as a deformable transformer and then pooling for a fully connected head.

    MMPose drops a list of necks without a word; this is the dict it takes instead.

    Args:
        necks: Configs of the necks, in the order in which they run.

    Raises:
        ValueError: If there is no neck.
    """

    def __init__(self, necks: Sequence[ConfigType]) -> None:
        if not necks:
            raise ValueError("SequentialNeck needs at least one neck, but got none.")
        super().__init__(*(MODELS.build(neck) for neck in necks))
