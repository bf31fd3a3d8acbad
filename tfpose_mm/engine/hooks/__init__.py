"""MMEngine hooks that configs name in ``custom_hooks``."""

from __future__ import annotations

from .check_finite_hook import CheckFiniteHook
from .epoch_seed_hook import EpochSeedHook, init_worker
from .plain_checkpoint_hook import PlainCheckpointHook
from .preemption_hook import PreemptionHook
from .resume_hook import ResumeHook

__all__ = ["CheckFiniteHook", "EpochSeedHook", "PlainCheckpointHook", "PreemptionHook", "ResumeHook", "init_worker"]
