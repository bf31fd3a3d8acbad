"""What can be said of a config without its data: multiply-adds, parameters, recipe; and the paper's tables."""

from __future__ import annotations

from .complexity import Complexity, count
from .paper import TABLES, Row, Table
from .recipe import ParameterGroup, describe, find_problems, parameter_groups
from .speed import Memory, Timing, measure_memory, summarise, time_parts

__all__ = [
    "TABLES",
    "Complexity",
    "Memory",
    "ParameterGroup",
    "Row",
    "Table",
    "Timing",
    "count",
    "describe",
    "find_problems",
    "measure_memory",
    "parameter_groups",
    "summarise",
    "time_parts",
]
