"""TFPose (Direct Human Pose Estimation with Transformers) as a plugin for MMPose 1.x.

Importing the package registers its modules with MMPose (``tfpose_mm.registration`` lists them), and repairs functions
of MMPose and xtcocotools where they fail with the installed NumPy (``tfpose_mm.host.numpy2``). Nothing else changes. A
config imports it with ``custom_imports = dict(imports=["tfpose_mm"], allow_failed_imports=False)``.
``tfpose_mm.safe_loading`` lets MMEngine load checkpoints without running code that they contain.
"""

from __future__ import annotations

from .config_files import get_config, list_configs
from .host.command_line import is_command_line
from .version import __version__

if not is_command_line():  # a command registers them when it needs them
    from . import registration  # noqa: F401

__all__ = ["__version__", "get_config", "list_configs"]
