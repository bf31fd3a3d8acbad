"""A report on a trained model: one self-contained HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

import numpy as np
from mmengine.config import Config
from mmpose.registry import MODELS

from ..utils import UserError, keypoint_names
from ..visualization import Section, Text, write_page
from .attention import AttentionStudy, study_attention
from .error_analysis import EvaluatedModel, analyse_checkpoint
from .evaluation import annotation_file, need_annotations
from .figures import EXAMPLES, draw_study
from .report_sections import (
    attention_section,
    case_section,
    cost_section,
    error_section,
    keypoint_section,
    layer_section,
    recipe_section,
    summary_section,
    training_section,
    versions_section,
)
from .testing import need_checkpoint


def write_report(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    cases: int = 8,
    persons: Sequence[int] = (0,),
    limit: int | None = None,
    logs: dict[str, str] | None = None,
    metric: str | None = None,
    device: str = "cpu",
    options: dict | None = None,
) -> Path:
    """Write a report on a trained model, with the test data of its config.

    The page has metrics, PCK and OKS of each keypoint, kinds of errors as coco-analyze defines them, best and worst
    cases, sizes, latency, recipe and versions. For a ``TFPoseHead`` it has errors by decoder layer and the figures of
    attention. With logs it has the curves of trainings. It makes no request to the network.

    Args:
        cfg: Config of a top-down estimator with annotated test data.
        checkpoint: Its weights.
        out: Folder for ``report.html``, ``report.json`` with the numbers, ``figures/`` and the logs of the test.
        cases: Number of best and of worst cases.
        persons: Numbers of the persons in the test data whose attention is drawn.
        limit: Number of persons for the means of attention; ``None`` takes all.
        logs: Work directories of trainings by label.
        metric: Metric of the curves; ``None`` takes the first metric of the test that the logs have.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``, for attention and latency. The test takes a GPU if
            there is one.
        options: Changes to the config file, which are written to the page.

    Returns:
        ``report.html``.

    Raises:
        UserError: If the folder already has a report, or if checkpoint, annotations or logs are missing or do not fit.
    """
    out = Path(out)
    page = out / "report.html"
    if page.exists():
        raise UserError(f"{page} exists already: delete it or choose another folder; nothing was changed.")
    need_checkpoint(checkpoint)
    need_annotations(cfg)
    training = training_section(logs or {}, metric, cfg, out / "figures") if logs else None

    result = analyse_checkpoint(cfg, checkpoint, out / "test")
    model = MODELS.build(cfg.model).eval()
    cost, costs = cost_section(cfg, model, checkpoint, device)
    sections = [
        summary_section(result, costs),
        keypoint_section(result),
        error_section(result),
        case_section(result, cases),
    ]
    study, pictures = None, []
    if cfg.model.head.type == "TFPoseHead":
        study = study_attention(cfg, checkpoint, persons, EXAMPLES, limit, device=device)
        pictures = draw_study(study, out / "figures", persons)
        sections.insert(3, layer_section(study, out / "figures"))
        sections.append(attention_section(study, pictures))
    else:
        note = f"The config has a {cfg.model.head.type}. Attention and errors by decoder layer need a TFPoseHead."
        sections.append(Section("Attention", [Text(note)]))
    sections += [
        training or Section("Training", [Text("No logs were given: use --logs LABEL=FOLDER to draw the curves.")]),
        cost,
        recipe_section(cfg, model),
        versions_section(cfg, options),
    ]
    name = Path(cfg.filename).stem
    subtitle = f"{len(result.persons)} persons of {annotation_file(cfg)}; checkpoint {checkpoint}"
    write_page(name, subtitle, sections, page)
    numbers = dict(config=name, checkpoint=str(checkpoint), annotations=str(annotation_file(cfg)), cfg_options=options)
    (out / "report.json").write_text(
        json.dumps({**numbers, **collect_numbers(result, study), **costs}, indent=2) + "\n", encoding="utf-8"
    )
    return page


def collect_numbers(result: EvaluatedModel, study: AttentionStudy | None) -> dict:
    """The numbers of a report, for other programs.

    Args:
        result: Metrics and errors.
        study: Errors by decoder layer.

    Returns:
        Metrics, values of each keypoint, values of each decoder layer.
    """
    names, errors = keypoint_names(result.metainfo), result.errors
    numbers: dict = dict(metrics=result.metrics, metrics_detected_boxes=result.detected, instances=len(result.persons))
    columns = zip(names, errors.pck(0.1), errors.pck(0.2), errors.mean_similarity, errors.counts())
    numbers["keypoints"] = {
        name: {
            "PCK@0.1": _number(small),
            "PCK@0.2": _number(large),
            "similarity": _number(similarity),
            **dict(zip(("good", "jitter", "inversion", "swap", "miss"), map(int, counts))),
        }
        for name, small, large, similarity, counts in columns
    }
    if study is not None:
        numbers["layers"] = [
            {"layer": layer, "PCK@0.2": _number(correct), "mean_error": _number(np.nanmean(errors))}
            for layer, (correct, errors) in enumerate(zip(study.correct, study.errors))
        ]
    return numbers


def _number(value: float) -> float | None:
    """A number that JSON can hold."""
    return float(value) if np.isfinite(value) else None
