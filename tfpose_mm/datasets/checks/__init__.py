"""Find the faults of a data set before a training."""

from __future__ import annotations

from .checking import check_data
from .data_report import DataReport, FileReport, need_report_path

__all__ = ["DataReport", "FileReport", "check_data", "need_report_path"]
