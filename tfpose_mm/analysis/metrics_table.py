"""Evaluate a checkpoint: metrics, report and a picture of predictions beside annotations."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from mmengine.config import Config

from ..engine.running import KeepSamples, need_file, need_metrics, run_test
from ..errors import UserError
from .contact_sheet import draw_contact_sheet

# PCKh@0.5 on MPII, in per cent, with order and names of the paper's Table 7
MPII = {
    "Head PCK": "Head",
    "Shoulder PCK": "Sho.",
    "Elbow PCK": "Elb.",
    "Wrist PCK": "Wri.",
    "Hip PCK": "Hip",
    "Knee PCK": "Knee",
    "Ankle PCK": "Ank.",
    "PCK": "Total",
    "PCK@0.1": "Total@0.1",
}
# name of the metric: name in the table
NAMES = {
    "coco/AP": "AP",
    "coco/AP .5": "AP50",
    "coco/AP .75": "AP75",
    "coco/AP (M)": "AP (medium)",
    "coco/AP (L)": "AP (large)",
    "coco/AR": "AR",
}


def annotation_file(cfg: Config) -> Path:
    """The annotation file that a config tests on.

    Raises:
        UserError: If the test data are not one data set with an annotation file, as of MMPose's ``CombinedDataset``.
    """
    data = cfg.test_dataloader.dataset
    if "ann_file" not in data:
        raise UserError(
            f"The test data must be one data set with an ann_file, but the config has a {data.type}: set "
            "test_dataloader.dataset to one of its data sets."
        )
    return Path(data.get("data_root") or "") / data.ann_file


def need_annotations(cfg: Config) -> None:
    """Raise a UserError if the test data of a config have no annotations.

    Args:
        cfg: The config.

    Raises:
        UserError: If the config writes a submission, or if its annotation file does not exist.
    """
    if any(evaluator["type"] == "CocoSubmission" for evaluator in _evaluators(cfg)):
        raise UserError(
            "The config tests on data without annotations and writes a submission: run mim test mmpose CONFIG "
            "--checkpoint CHECKPOINT instead."
        )
    need_file("annotation file", annotation_file(cfg), "point the config's data_root to the data, as the README shows")


def evaluate(
    cfg: Config, checkpoint: str | Path, out: Path, pictures: int = 24, options: dict | None = None
) -> dict[str, float]:
    """Test a model on its config's test data.

    Args:
        cfg: An MMPose config with a top-down estimator and COCO-style test data.
        checkpoint: The weights.
        out: Folder for the log, ``metrics.json`` (with config, checkpoint and data), ``report.txt`` and
            ``predictions.png``.
        pictures: Instances on the contact sheet; 0 draws none.
        options: Changes to the config file, which are written to ``metrics.json``.

    Returns:
        The metrics, by MMPose's names.

    Raises:
        UserError: If checkpoint or annotations are missing; if the folder already has a report; if pictures are
            requested but the config tests on detected boxes, which have no annotations; if the config computes no
            metric; if the checkpoint does not fit the model.
    """
    if (out / "metrics.json").exists():
        raise UserError(f"{out} already has a report: delete it or choose another folder; nothing was changed.")
    data = cfg.test_dataloader.dataset
    if pictures and data.get("bbox_file"):
        raise UserError(
            f"The config tests on the detected boxes of {data.bbox_file}, which have no annotations to draw: use "
            "--pictures 0, or --cfg-options test_dataloader.dataset.bbox_file=None for annotated boxes."
        )
    need_annotations(cfg)
    keep = KeepSamples(pictures)
    runner, metrics = run_test(cfg, checkpoint, out, keep)
    need_metrics(metrics)
    provenance = dict(
        config=Path(cfg.filename).stem,
        cfg_options=options or {},
        checkpoint=str(checkpoint),
        annotations=str(annotation_file(cfg)),
        boxes=data.get("bbox_file"),
        instances=len(runner.test_dataloader.dataset),
    )
    (out / "metrics.json").write_text(json.dumps({**provenance, **metrics}, indent=2) + "\n", encoding="utf-8")
    if pictures:
        sheet = draw_contact_sheet(keep.samples, runner.test_dataloader.dataset.metainfo)
        if not cv2.imwrite(str(out / "predictions.png"), sheet):
            raise RuntimeError(f"OpenCV could not write {out / 'predictions.png'}.")
    (out / "report.txt").write_text(format_report(cfg, metrics, out, pictures) + "\n", encoding="utf-8")
    return metrics


def format_report(cfg: Config, metrics: dict[str, float], out: Path, pictures: int) -> str:
    """The report of :func:`evaluate`.

    Args:
        cfg: The config.
        metrics: The metrics.
        out: The folder of the report.
        pictures: Instances on the contact sheet.

    Returns:
        Config and data, the table of metrics, and the paths of the files.
    """
    lines = [f"{Path(cfg.filename).stem} on {annotation_file(cfg)}", format_table(metrics)]
    lines.append(f"metrics:     {out / 'metrics.json'}")
    if pictures:
        lines.append(f"predictions: {out / 'predictions.png'}")
    return "\n".join(lines)


def _evaluators(cfg: Config) -> list[dict]:
    return cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]


def metric_rows(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """The metrics as text: the usual ones first, with short names, then all others.

    Args:
        metrics: The metrics, by MMPose's names.

    Returns:
        Name and value of each metric.
    """
    names = {**NAMES, **MPII} if "Head PCK" in metrics else NAMES  # PCKAccuracy's PCK is a fraction
    rows = [(names[name], metrics[name]) for name in names if name in metrics]
    others = [name for name in metrics if name not in names and not name.startswith("coco/")]
    prefixes = [name.partition("/")[0] for name in others]
    rows += [(p if prefixes.count(p) == 1 else name, metrics[name]) for name, p in zip(others, prefixes)]
    per_cent = MPII.values() if "Head PCK" in metrics else ()
    # COCO gives -1 if no instance has that size
    return [(name, "n/a" if value < 0 else f"{value:.{1 if name in per_cent else 3}f}") for name, value in rows]


def format_table(metrics: dict[str, float]) -> str:
    """The metrics as a table.

    Args:
        metrics: The metrics, by MMPose's names.

    Returns:
        The lines of the table.
    """
    rows = metric_rows(metrics)
    width = max(len(name) for name, _ in rows)
    rule = f"+-{'-' * width}-+-------+"
    return "\n".join([rule, *(f"| {name:<{width}} | {value:>5} |" for name, value in rows), rule])
