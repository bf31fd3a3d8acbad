"""What can be said of a config without its data: multiply-adds, parameters, recipe; and the paper's tables."""

from __future__ import annotations

from .complexity import Complexity, count
from .paper import TABLES, Row, Table
from .recipe import ParameterGroup, describe, find_problems, parameter_groups

__all__ = [
    "TABLES",
    "Complexity",
    "ParameterGroup",
    "Row",
    "Table",
    "count",
    "describe",
    "find_problems",
    "parameter_groups",
]
