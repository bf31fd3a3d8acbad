"""Let MMEngine load checkpoints without running code that they contain: import this module, or name it in a config.

``custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading"])``, as in the configs of this repository,
replaces MMEngine's loaders of files and of http(s) addresses for the whole process. The commands of this package do so,
too. Other schemes, such as ``torchvision://`` and ``s3://``, keep their loaders.
"""

from __future__ import annotations

from .engine.checkpoint_loader import register_loaders

register_loaders()
