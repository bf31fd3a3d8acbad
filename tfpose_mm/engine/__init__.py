"""Hooks for MMEngine's loops, and the loader of checkpoints. Importing this package replaces MMEngine's loaders."""

from __future__ import annotations

from .checkpoint_loader import METADATA, read_checkpoint, register_loaders, sha256
from .hooks import CheckFiniteHook, PlainCheckpointHook, ValidationEtaHook, to_plain
from .model_loading import load_model, read_fitting_weights
from .parameter_table import Difference, compare_parameters, format_differences

__all__ = [
    "METADATA",
    "CheckFiniteHook",
    "Difference",
    "PlainCheckpointHook",
    "ValidationEtaHook",
    "compare_parameters",
    "format_differences",
    "load_model",
    "read_checkpoint",
    "read_fitting_weights",
    "register_loaders",
    "sha256",
    "to_plain",
]

register_loaders()
