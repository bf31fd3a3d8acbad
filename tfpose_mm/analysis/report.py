"""A report on a trained model: one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.config import Config
from mmpose.registry import MODELS

from ..config_files import parse_cfg_options, read_config
from ..datasets.config_data import annotation_file, keypoint_names, need_annotations
from ..engine.running import need_checkpoint, need_device
from ..errors import UserError, need_at_least
from ..evaluation import ERROR_KINDS
from ..evaluation.metrics_table import format_table
from ..models.heads import is_tfpose_head
from .attention_study import AttentionStudy, study_attention
from .contact_sheet import draw_contact_sheet
from .diagnosis import Diagnosis, diagnose
from .error_analysis import EvaluatedModel, analyse_checkpoint
from .figures import EXAMPLES, DrawnFigure, draw_study
from .report_context import attention_section, cost_section, recipe_section, training_section, versions_section
from .report_page import Section, Text, write_page
from .report_results import case_section, error_section, keypoint_section, layer_section, summary_section
from .training_log import split_labels

PICTURES = 24  # persons of predictions.png


class Report(NamedTuple):
    """What :func:`write_report` wrote.

    Attributes:
        page: ``report.html``.
        title: Config and annotation file.
        metrics: The metrics with annotated boxes, by MMPose's names.
    """

    page: Path
    title: str
    metrics: dict[str, float]

    def __str__(self) -> str:
        """The metrics as a table, and the page."""
        return f"{self.title}\n{format_table(self.metrics)}\nreport:      {self.page}"


def write_report(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path,
    cases: int = 8,
    persons: Sequence[int] = (0,),
    limit: int | None = None,
    logs: Sequence[str] = (),
    metric: str | None = None,
    device: str = "cpu",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> Report:
    """Write a report on a trained model: one HTML page that needs no network.

    It tests the model on the test data of its config. The page has metrics, PCK and mean similarity of each keypoint,
    kinds of errors as coco-analyze defines them, error by decoder layer, best and worst cases, attention figures,
    sizes, latency, recipe and versions. With logs it has the curves of trainings.

    Args:
        config: Config of a top-down estimator with one annotated test data set, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: Folder for report.html, report.json with the numbers, report.txt with the metrics, predictions.png,
            figures/ and the logs of the test.
        cases: Number of worst and of best cases, half as many for inversions and swaps; 0 shows none.
        persons: Numbers of the persons in the test data whose attention is drawn.
        limit: Persons for mean attention and errors by decoder layer, at least 12. Defaults to all.
        logs: Work directories of trainings as LABEL=FOLDER; those that differ only in their seed have the same label.
        metric: Metric of the curves. Defaults to AP, or MPII's PCK, or another of the logs.
        device: cpu, or a GPU as cuda:0, for attention and latency; the test uses a GPU if there is one.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The page and the metrics.

    Raises:
        UserError: If the folder already has a report; if device, checkpoint, annotations or logs are missing or do not
            fit; if a person does not exist.
    """
    need_at_least(0, cases=cases, persons=min(persons, default=0))
    need_at_least(1, limit=limit)
    cfg = read_config(config, cfg_options)
    options = parse_cfg_options(cfg_options)
    trainings = split_labels(logs)
    out = Path(out)
    page = out / "report.html"
    if page.exists():
        raise UserError(
            f"The folder must not have a report, but {page} exists: delete it or choose another folder; nothing was "
            "changed."
        )
    need_device(device)
    need_checkpoint(checkpoint)
    need_annotations(cfg)
    no_logs = "No logs were given: --logs LABEL=FOLDER draws the curves."
    training = training_section(trainings, metric, out / "figures") if logs else Section("Training", [Text(no_logs)])
    study, figures = _study(cfg, checkpoint, out / "figures", persons, limit, device)  # wrong input fails here, soon
    model = MODELS.build(cfg.model).eval()
    cost, costs = cost_section(cfg, model, checkpoint, device)
    result = analyse_checkpoint(cfg, checkpoint, out / "test")
    diagnosis = None
    if study is None:
        layers = []
        note = f"The config has a {cfg.model.head.type}. Attention and errors by decoder layer need a TFPoseHead."
        attention = Section("Attention", [Text(note)])
    else:
        diagnosis = diagnose(cfg, checkpoint, None if limit is None else max(limit, EXAMPLES), device=device)
        layers, attention = [layer_section(study, figures, diagnosis)], attention_section(study, figures)
    sections = [
        summary_section(result, costs),
        keypoint_section(result),
        error_section(result),
        *layers,
        case_section(result, cases),
        attention,
        training,
        cost,
        recipe_section(cfg, model),
        versions_section(cfg, options),
    ]
    name = Path(cfg.filename or "report").stem
    write_page(
        name, f"{len(result.persons)} persons of {annotation_file(cfg)}; checkpoint {checkpoint}", sections, page
    )
    numbers = dict(config=name, checkpoint=str(checkpoint), annotations=str(annotation_file(cfg)), cfg_options=options)
    content = json.dumps({**numbers, **collect_numbers(result, study, diagnosis), **costs}, indent=2)
    (out / "report.json").write_text(content + "\n", encoding="utf-8")
    sheet = draw_contact_sheet(result.persons[:PICTURES], result.metainfo)
    if not cv2.imwrite(str(out / "predictions.png"), sheet):
        raise RuntimeError(f"OpenCV could not write {out / 'predictions.png'}.")
    report = Report(page, f"{name} on {annotation_file(cfg)}", result.metrics)
    (out / "report.txt").write_text(f"{report}\n", encoding="utf-8")
    return report


def _study(
    cfg: Config, checkpoint: str | Path, folder: Path, persons: Sequence[int], limit: int | None, device: str
) -> tuple[AttentionStudy | None, list[DrawnFigure]]:
    """Recorded attention and its figures, if the head has attention."""
    if not is_tfpose_head(cfg.model.head):
        return None, []
    study = study_attention(cfg, checkpoint, persons, EXAMPLES, limit, device=device)
    return study, draw_study(study, folder, persons)


def collect_numbers(
    result: EvaluatedModel, study: AttentionStudy | None = None, diagnosis: Diagnosis | None = None
) -> dict:
    """The numbers of a report, for other programs.

    Args:
        result: Metrics and errors.
        study: Errors by decoder layer; ``None`` for other heads.
        diagnosis: Comparison with the auxiliary heat maps; ``None`` for other heads.

    Returns:
        A dict for JSON: ``metrics``, ``metrics_detected_boxes``, ``instances``; ``keypoints`` has PCK, mean similarity
        and the number of errors of each kind by keypoint; ``layers`` has PCK@0.2 and K mean errors for y_0 .. y_{N_D},
        as fractions of the longer side of the box; ``diagnosis`` has the fields of :class:`Diagnosis`. ``None``
        replaces NaN.
    """
    names, errors = keypoint_names(result.metainfo), result.errors
    numbers: dict = dict(metrics=result.metrics, metrics_detected_boxes=result.detected, instances=len(result.persons))
    keypoints: dict[str, dict] = {name: {} for name in names}
    columns = {f"PCK@{threshold}": errors.pck(threshold) for threshold in (0.05, 0.1, 0.2)}
    if errors.kinds is not None:
        columns["similarity"] = errors.mean_similarity
        columns.update(zip(ERROR_KINDS, errors.counts().T))
    for column, values in columns.items():
        for name, value in zip(names, values):
            keypoints[name][column] = _number(value)
    numbers["keypoints"] = keypoints
    if study is not None:
        numbers["layers"] = [
            {"layer": layer, "PCK@0.2": _number(correct), "errors": [_number(error) for error in errors]}
            for layer, (correct, errors) in enumerate(zip(study.correct, study.errors))
        ]
    if diagnosis is not None:
        numbers["diagnosis"] = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(diagnosis).items()
        }
    return numbers


def _number(value: np.number) -> float | int | None:
    """A number that JSON can hold."""
    return value.item() if np.isfinite(value) else None
