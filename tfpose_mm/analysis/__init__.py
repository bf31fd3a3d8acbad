"""What can be said of a config without its data: multiply-adds, parameters, recipe; and the paper's tables."""

from __future__ import annotations

from .agreement import find_problems
from .calibration import Bin, auroc, calibration_error, judge, reliability
from .complexity import Complexity, count
from .paper import TABLES, Row, Table
from .recipe import ParameterGroup, describe, parameter_groups
from .speed import Memory, Timing, describe_device, labelled_batch, measure_memory, summarise, time_parts

__all__ = [
    "TABLES",
    "Bin",
    "Complexity",
    "Memory",
    "ParameterGroup",
    "Row",
    "Table",
    "Timing",
    "auroc",
    "calibration_error",
    "count",
    "describe",
    "describe_device",
    "find_problems",
    "judge",
    "labelled_batch",
    "measure_memory",
    "parameter_groups",
    "reliability",
    "summarise",
    "time_parts",
]
