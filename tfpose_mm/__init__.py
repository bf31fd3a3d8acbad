"""TFPose (Direct Human Pose Estimation with Transformers) as a plugin for MMPose 1.x.

Importing the package registers its modules with MMPose (``tfpose_mm.registration`` lists them), and repairs a function
of MMPose where it fails with the installed NumPy (``tfpose_mm.host.numpy2``). Nothing else changes. A config imports it
with ``custom_imports = dict(imports=["tfpose_mm"], allow_failed_imports=False)``. ``tfpose_mm.safe_loading`` lets
MMEngine load checkpoints without running code that they contain.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

from .config_files import get_config, list_configs
from .version import __version__

# `tfpose NAME` and `python -m tfpose_mm NAME` register when a command needs it: `tfpose --help` loads no torch.
# Processes that a command spawns have its arguments, but register at once. While they import its script, only their
# name tells them apart: parent_process() is None.
_program = (sys.argv or [""])[0]
_is_module = _program == "-m" and "tfpose_mm" in getattr(sys, "orig_argv", ())
_is_child = multiprocessing.current_process().name != "MainProcess"
if _is_child or not (_is_module or os.path.basename(_program) == "tfpose"):
    from . import registration  # noqa: F401

__all__ = ["__version__", "get_config", "list_configs"]
