"""Training: readers of checkpoints, complete files, tests; ``hooks/`` has the hooks for MMEngine's loops."""

from __future__ import annotations

from .atomic_files import AtomicBackend, write_atomic
from .checkpoint_loader import METADATA, load_model, read_checkpoint, read_fitting_weights, sha256

__all__ = [
    "METADATA",
    "AtomicBackend",
    "load_model",
    "read_checkpoint",
    "read_fitting_weights",
    "sha256",
    "write_atomic",
]
