"""Registers the modules of this package with MMPose, after a check of the installed host packages."""

from __future__ import annotations

from .host import requirements

requirements.require()  # before anything that needs the host packages is imported

from . import codecs, datasets, evaluation, models  # noqa: E402, F401
from .engine import atomic_files, hooks  # noqa: E402, F401
from .host.numpy2 import fix_circles  # noqa: E402

fix_circles()
