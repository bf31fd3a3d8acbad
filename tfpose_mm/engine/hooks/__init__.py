"""MMEngine hooks that configs name in ``custom_hooks``."""

from __future__ import annotations

from .check_finite_hook import CheckFiniteHook
from .plain_checkpoint_hook import PlainCheckpointHook, to_plain
from .resume_hook import ResumeHook
from .validation_eta_hook import ValidationEtaHook

__all__ = ["CheckFiniteHook", "PlainCheckpointHook", "ResumeHook", "ValidationEtaHook", "to_plain"]
