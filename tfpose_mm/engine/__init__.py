"""Hooks for MMEngine's training, validation and test loops."""

from __future__ import annotations

from .hooks import CheckFiniteHook

__all__ = ["CheckFiniteHook"]
