"""MMEngine hooks that configs name in ``custom_hooks``."""

from __future__ import annotations

from .check_finite_hook import CheckFiniteHook

__all__ = ["CheckFiniteHook"]
