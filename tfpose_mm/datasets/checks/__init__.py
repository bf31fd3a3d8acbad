"""Find the faults of a data set before a training."""

from __future__ import annotations

from .checking import check_data
from .fault_table import DataReport, FileReport, format_data_report, need_report_path

__all__ = ["DataReport", "FileReport", "check_data", "format_data_report", "need_report_path"]
