"""A config for one's own data: the command ``init``."""

from __future__ import annotations

from .initialise import OwnData, init_data

__all__ = ["OwnData", "init_data"]
