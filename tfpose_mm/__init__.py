"""TFPose (Direct Human Pose Estimation with Transformers) as a plugin for MMPose 1.x.

Importing the package registers ``TFPoseLabel``, ``DeformableTransformerNeck``, ``SequentialNeck``, ``TFPoseHead``,
``TFPoseLoss``, ``CocoSubmission``, ``CheckFiniteHook``, ``PlainCheckpointHook``, ``ValidationEtaHook`` and
``packed_collate`` with MMPose. A config does so with
``custom_imports = dict(imports=["tfpose_mm"], allow_failed_imports=False)``. It also fixes errors of MMPose and
xtcocotools with NumPy 2, where these versions are installed (``tfpose_mm.host.numpy2``), and changes nothing else:
``tfpose_mm.safe_loading`` lets MMEngine load checkpoints without running code that they contain.
"""

from __future__ import annotations

from .host import requirements as host

host.require()  # before anything that needs the host packages is imported

from . import codecs, datasets, engine, evaluation, models  # noqa: E402
from .config_files import get_config, list_configs  # noqa: E402
from .host.numpy2 import fix_host  # noqa: E402
from .version import __version__  # noqa: E402

fix_host()

__all__ = ["__version__", "codecs", "datasets", "engine", "evaluation", "get_config", "list_configs", "models"]
