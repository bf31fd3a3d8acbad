"""Hooks for MMEngine's loops, and readers of checkpoints, which ``tfpose_mm.safe_loading`` gives to MMEngine."""

from __future__ import annotations

from .atomic_files import AtomicBackend, write_atomic
from .checkpoint_loader import METADATA, read_checkpoint, register_loaders, sha256
from .hooks import (
    CheckFiniteHook,
    EpochSeedHook,
    PlainCheckpointHook,
    PreemptionHook,
    ResumeHook,
    ValidationEtaHook,
    init_worker,
    to_plain,
)
from .model_loading import load_model, read_fitting_weights
from .parameter_table import Difference, compare_parameters, format_differences

__all__ = [
    "METADATA",
    "AtomicBackend",
    "CheckFiniteHook",
    "Difference",
    "EpochSeedHook",
    "PlainCheckpointHook",
    "PreemptionHook",
    "ResumeHook",
    "ValidationEtaHook",
    "compare_parameters",
    "format_differences",
    "init_worker",
    "load_model",
    "read_checkpoint",
    "read_fitting_weights",
    "register_loaders",
    "sha256",
    "to_plain",
    "write_atomic",
]
