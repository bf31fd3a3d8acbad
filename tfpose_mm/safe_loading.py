"""Let MMEngine load checkpoints without running code that they contain: import this module, or name it in a config.

``custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading"])``, as in the configs of this repository,
replaces MMEngine's loaders of files and of http(s) addresses for the whole process. The commands of this package do so,
too. Other schemes, such as ``torchvision://`` and ``s3://``, keep their loaders.
"""

from __future__ import annotations

from mmengine.runner import CheckpointLoader

from .engine.checkpoint_loader import load_from_http, load_from_local

CheckpointLoader.register_scheme("", load_from_local, force=True)
CheckpointLoader.register_scheme(("http://", "https://"), load_from_http, force=True)
