"""TFPose (Direct Human Pose Estimation with Transformers) as a plugin for MMPose 1.x.

Importing the package registers ``TFPoseLabel``, ``DeformableTransformerNeck``, ``SequentialNeck``, ``TFPoseHead``,
``TFPoseLoss``, ``CocoSubmission`` and ``packed_collate`` with MMPose. A config does so with
``custom_imports = dict(imports=["tfpose_mm"], allow_failed_imports=False)``.
"""

from __future__ import annotations

from . import host
from .version import __version__

if not host.runs_check_env():
    host.require()
    from . import codecs, datasets, evaluation, models

    __all__ = ["__version__", "codecs", "datasets", "evaluation", "models"]
