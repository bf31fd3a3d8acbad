"""Pictures for people: figures are drawn here, from data that others recorded."""

from __future__ import annotations

from .contact_sheet import draw_contact_sheet

__all__ = ["draw_contact_sheet"]
