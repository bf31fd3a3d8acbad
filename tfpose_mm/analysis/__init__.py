"""What can be said of a config without its data: multiply-adds, parameters, recipe; and the paper's tables."""

from __future__ import annotations

from .agreement import find_problems
from .calibration import Bin, auroc, calibration_error, judge, reliability
from .complexity import Complexity, count
from .memory import Memory, labelled_batch, measure_memory
from .paper import TABLES, Row, Table
from .recipe import ParameterGroup, describe, parameter_groups
from .speed import Timing, describe_device, matmul_rate, summarise, time_functions, time_parts, time_training

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
    "matmul_rate",
    "measure_memory",
    "parameter_groups",
    "reliability",
    "summarise",
    "time_functions",
    "time_parts",
    "time_training",
]
