"""Evaluate a checkpoint, print one table, draw predictions beside annotations.

As ``mim test mmpose CONFIG --checkpoint CHECKPOINT`` does, with any of MMPose's top-down configs; the table and the
contact sheet are what it adds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
from mmengine.config import Config

from tfpose_mm.visualization import draw_contact_sheet

from .cli import make_parser, run
from .runs import KeepSamples, add_cfg_options, need_file, read_config, run_test

# PCKh@0.5 on MPII, per cent, in the order and the words of the paper's Table 7
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
# what the metrics call it: what the table calls it
NAMES = {
    "coco/AP": "AP",
    "coco/AP .5": "AP50",
    "coco/AP .75": "AP75",
    "coco/AP (M)": "AP (medium)",
    "coco/AP (L)": "AP (large)",
    "coco/AR": "AR",
}


def annotation_file(cfg: Config) -> Path:
    """The annotations that a config tests on."""
    data = cfg.test_dataloader.dataset
    return Path(data.get("data_root") or "") / data.ann_file


def evaluate(
    cfg: Config, checkpoint: str, out: Path, pictures: int = 24, options: dict | None = None
) -> dict[str, float]:
    """Test a model on its config's test data.

    Args:
        cfg: An MMPose config with a top-down estimator and COCO-style test data.
        checkpoint: The weights.
        out: Folder for the log, ``metrics.json`` (with what was measured on what) and ``predictions.png``.
        pictures: People on the contact sheet; 0 draws none.
        options: What was changed in the config file's values, for the report.

    Returns:
        The metrics, by MMPose's names.

    Raises:
        FileNotFoundError: If checkpoint or annotations are missing.
        FileExistsError: If the folder holds a report already.
        ValueError: If pictures are wanted of detected boxes, which have no annotation to stand beside; if the config
            measures nothing; if the checkpoint is another model's.
    """
    if (out / "metrics.json").exists():
        raise FileExistsError(f"{out} holds a report already: delete it or choose another folder; nothing was changed.")
    data = cfg.test_dataloader.dataset
    if pictures and data.get("bbox_file"):
        raise ValueError(
            f"The test data are the detected boxes of {data.bbox_file}, which have no annotation to draw predictions "
            "beside: use --pictures 0, or --cfg-options test_dataloader.dataset.bbox_file=None for annotated boxes."
        )
    if any(evaluator.type == "CocoSubmission" for evaluator in _evaluators(cfg)):
        raise ValueError(
            "The config tests on data without annotations and writes a submission: run mim test mmpose CONFIG "
            "--checkpoint CHECKPOINT instead."
        )
    need_file("annotation file", annotation_file(cfg), "point the config's data_root to the data, as the README shows")
    keep = KeepSamples(pictures)
    runner, metrics = run_test(cfg, checkpoint, out, keep)
    provenance = dict(
        config=Path(cfg.filename).stem,
        cfg_options=options or {},
        checkpoint=str(checkpoint),
        annotations=str(annotation_file(cfg)),
        boxes=data.get("bbox_file"),
        people=len(runner.test_dataloader.dataset),
    )
    (out / "metrics.json").write_text(json.dumps({**provenance, **metrics}, indent=2) + "\n", encoding="utf-8")
    if pictures:
        sheet = draw_contact_sheet(keep.samples, runner.test_dataloader.dataset.metainfo)
        if not cv2.imwrite(str(out / "predictions.png"), sheet):
            raise RuntimeError(f"OpenCV could not write {out / 'predictions.png'}.")
    return metrics


def _evaluators(cfg: Config) -> list[dict]:
    return cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]


def format_table(metrics: dict[str, float]) -> str:
    """The metrics that people ask for first, in a table; those without a short name follow under their own."""
    names = {**NAMES, **MPII} if "Head PCK" in metrics else NAMES  # a plain PCKAccuracy's PCK is a fraction
    rows = [(names[name], metrics[name]) for name in names if name in metrics]
    others = [name for name in metrics if name not in names and not name.startswith("coco/")]
    prefixes = [name.partition("/")[0] for name in others]
    rows += [(p if prefixes.count(p) == 1 else name, metrics[name]) for name, p in zip(others, prefixes)]
    per_cent = MPII.values() if "Head PCK" in metrics else ()
    # COCO says -1 where no person is of that size
    rows = [(name, "n/a" if value < 0 else f"{value:.{1 if name in per_cent else 3}f}") for name, value in rows]
    width = max(len(name) for name, _ in rows)
    rule = f"+-{'-' * width}-+-------+"
    return "\n".join([rule, *(f"| {name:<{width}} | {value:>5} |" for name, value in rows), rule])


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="MMPose config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for log, report and pictures")
    parser.add_argument("--pictures", type=int, default=24, help="people on the contact sheet (default: %(default)s)")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Evaluate and print."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    metrics = evaluate(cfg, args.checkpoint, args.out, args.pictures, args.cfg_options)
    lines = [
        f"{Path(args.config).stem} on {annotation_file(cfg)}",
        format_table(metrics),
        f"metrics:     {args.out / 'metrics.json'}",
    ]
    if args.pictures:
        lines.append(f"predictions: {args.out / 'predictions.png'}")
    report = "\n".join(lines)
    (args.out / "report.txt").write_text(report + "\n", encoding="utf-8")
    print(f"\n{report}")


if __name__ == "__main__":
    run(main)
