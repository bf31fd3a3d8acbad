"""Cost and accuracy of several models in one table."""

from __future__ import annotations
