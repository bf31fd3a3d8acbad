"""TFPose (Direct Human Pose Estimation with Transformers) as a plugin for MMPose 1.x.

Importing the package registers ``TFPoseLabel``, ``DeformableTransformerNeck``, ``SequentialNeck``, ``TFPoseHead``,
``TFPoseLoss``, ``CocoSubmission``, ``CheckFiniteHook`` and ``packed_collate`` with MMPose. A config does so with
``custom_imports = dict(imports=["tfpose_mm"], allow_failed_imports=False)``.
"""

from __future__ import annotations

from tfpose_lite import host

host.require()  # before anything that needs the host packages is imported

from . import codecs, datasets, engine, evaluation, models  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ["__version__", "codecs", "datasets", "engine", "evaluation", "models"]
