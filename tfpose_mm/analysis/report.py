"""A report on a trained model: one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmpose.registry import MODELS

from ..datasets.config_data import keypoint_names
from ..engine.running import need_checkpoint, need_device
from ..errors import UserError
from ..evaluation import ERROR_KINDS
from ..models.heads.score_kinds import is_tfpose_head
from .attention_study import AttentionStudy, study_attention
from .diagnosis import Diagnosis, diagnose
from .error_analysis import EvaluatedModel, analyse_checkpoint
from .figures import EXAMPLES, DrawnFigure, draw_study
from .metrics_table import annotation_file, need_annotations
from .report_context import attention_section, cost_section, recipe_section, training_section, versions_section
from .report_page import Section, Text, write_page
from .report_results import case_section, error_section, keypoint_section, layer_section, summary_section


def write_report(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    cases: int = 8,
    persons: Sequence[int] = (0,),
    limit: int | None = None,
    logs: Sequence[tuple[str, str]] = (),
    metric: str | None = None,
    device: str = "cpu",
    options: dict | None = None,
) -> Path:
    """Write a report on a trained model, with the test data of its config.

    The page has metrics, PCK and similarity of each keypoint, kinds of errors as coco-analyze defines them, best and
    worst cases, sizes, latency, recipe and versions. For a ``TFPoseHead`` it has errors by decoder layer and figures of
    attention. With logs it has the curves of trainings. It makes no request to the network.

    Args:
        cfg: Config of a top-down estimator whose test data are one annotated data set.
        checkpoint: Its weights.
        out: Folder for ``report.html``, ``report.json`` with the numbers, ``figures/`` and the logs of the test.
        cases: Number of worst and of best cases; 0 shows none.
        persons: Numbers of the persons in the test data whose attention is drawn.
        limit: Number of persons for mean attention, errors by decoder layer and the diagnosis, at least 12; ``None``
            takes all.
        logs: Label and work directory of trainings; seeds of a model have the same label.
        metric: Metric of the curves; ``None`` takes AP, or MPII's PCK, or another that all logs have.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``, for attention and latency. The test uses a GPU if there
            is one.
        options: Changes to the config file, which are written to the page.

    Returns:
        ``report.html``.

    Raises:
        UserError: If the folder already has a report; if device, checkpoint, annotations or logs are missing or do not
            fit; if a person does not exist.
    """
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
    training = training_section(logs, metric, out / "figures") if logs else Section("Training", [Text(no_logs)])
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
    return page


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
