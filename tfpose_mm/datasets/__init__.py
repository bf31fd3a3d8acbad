"""Data that the project brings along."""

from __future__ import annotations
