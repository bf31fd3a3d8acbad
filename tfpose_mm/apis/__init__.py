"""Python functions that the command-line tools call, and that users can call."""

from __future__ import annotations

from ..datasets.synthetic import LEVELS, write_dataset
from ..inference import BATCH_SIZE, SCORES, FromDetector, FromFile, Prediction, Predictor
from ..packaged_configs import CONFIGS
from .attention import AttentionStudy, InstanceRecord, study_attention
from .comparison import compare_models, format_rows
from .complexity import Complexity, count_complexity
from .config_checks import find_problems
from .data_checks import DataReport, check_data, format_data_report, need_report_path
from .diagnosis import Diagnosis, diagnose, format_diagnosis
from .error_analysis import EvaluatedModel, analyse_checkpoint
from .evaluation import evaluate, format_table
from .export import ATTENTIONS, Export, InferenceGraph, export_onnx, write_onnx
from .figures import draw_figures
from .keypoint_scores import compare_scores, format_scores
from .latency import Timing, describe_device, matmul_rate, summarise, time_functions, time_parts, time_training
from .memory import Memory, labelled_batch, measure_memory
from .mpii_submission import submit_mpii
from .prediction import DRAW_THRESHOLD, PredictionSummary, predict
from .publishing import Published, publish
from .recipe import ParameterGroup, build_optimizer, check_recipe, describe, parameter_groups
from .report import write_report
from .testing import KeepSamples, need_checkpoint, need_file, read_config, run_test

__all__ = [
    "ATTENTIONS",
    "BATCH_SIZE",
    "CONFIGS",
    "DRAW_THRESHOLD",
    "LEVELS",
    "SCORES",
    "AttentionStudy",
    "Complexity",
    "DataReport",
    "Diagnosis",
    "EvaluatedModel",
    "Export",
    "FromDetector",
    "FromFile",
    "InferenceGraph",
    "InstanceRecord",
    "KeepSamples",
    "Memory",
    "ParameterGroup",
    "Prediction",
    "PredictionSummary",
    "Predictor",
    "Published",
    "Timing",
    "analyse_checkpoint",
    "build_optimizer",
    "check_data",
    "check_recipe",
    "compare_models",
    "compare_scores",
    "count_complexity",
    "describe",
    "describe_device",
    "diagnose",
    "draw_figures",
    "evaluate",
    "export_onnx",
    "find_problems",
    "format_data_report",
    "format_diagnosis",
    "format_rows",
    "format_scores",
    "format_table",
    "labelled_batch",
    "matmul_rate",
    "measure_memory",
    "need_checkpoint",
    "need_file",
    "need_report_path",
    "parameter_groups",
    "predict",
    "publish",
    "read_config",
    "run_test",
    "study_attention",
    "submit_mpii",
    "summarise",
    "time_functions",
    "time_parts",
    "time_training",
    "write_dataset",
    "write_onnx",
    "write_report",
]
