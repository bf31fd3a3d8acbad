"""The part of ``tfpose_mm`` that works without MMPose.

``import tfpose_mm`` registers its modules with MMPose. If MMPose, MMDetection, MMCV or torch is missing or broken, it
raises an error that names the fix. This package has the code that must work on such a machine:

- ``python -m tfpose_lite.check_env`` checks the installation;
- ``tfpose_lite.onnx_runner`` runs exported models;
- ``tfpose_lite.host`` has the versions that ``tfpose_mm`` needs, known issues of its host packages and their fixes.
"""

from __future__ import annotations
