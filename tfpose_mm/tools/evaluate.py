"""Evaluate a checkpoint, print one table, draw predictions beside annotations.

As ``mim test mmpose CONFIG --checkpoint CHECKPOINT`` does, with any of MMPose's top-down configs; the table and the
contact sheet are what it adds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from tfpose_mm.visualization import draw_contact_sheet

from .cli import run
from .runs import KeepSamples, need_file, read_config

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
    **MPII,
}


def annotation_file(cfg: Config) -> Path:
    """The annotations that a config tests on."""
    data = cfg.test_dataloader.dataset
    return Path(data.get("data_root") or "") / data.ann_file


def evaluate(cfg: Config, checkpoint: str, out: Path, pictures: int = 24) -> dict[str, float]:
    """Test a model on its config's test data.

    Args:
        cfg: An MMPose config with a top-down estimator and COCO-style test data.
        checkpoint: The weights.
        out: Folder for the log, ``metrics.json`` and ``predictions.png``.
        pictures: People on the contact sheet; 0 draws none.

    Returns:
        The metrics, by MMPose's names.

    Raises:
        FileNotFoundError: If checkpoint or annotations are missing.
        FileExistsError: If the folder holds a report already.
        ValueError: If pictures are wanted of detected boxes, which have no annotation to stand beside.
    """
    if (out / "metrics.json").exists():
        raise FileExistsError(f"{out} holds a report already: delete it or choose another folder; nothing was changed.")
    data = cfg.test_dataloader.dataset
    if pictures and data.get("bbox_file"):
        raise ValueError(
            f"The test data are the detected boxes of {data.bbox_file}, which have no annotation to draw predictions "
            "beside: use --pictures 0, or --cfg-options test_dataloader.dataset.bbox_file=None for annotated boxes."
        )
    need_file("checkpoint", checkpoint, "train one first, as the README shows")
    need_file("annotation file", annotation_file(cfg), "point the config's data_root to the data, as the README shows")
    cfg.load_from = str(checkpoint)
    cfg.work_dir = str(out)
    runner = Runner.from_cfg(cfg)
    keep = KeepSamples(pictures)
    runner.register_hook(keep)
    metrics = {name: float(value) for name, value in runner.test().items()}

    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    if pictures:
        sheet = draw_contact_sheet(keep.samples, runner.test_dataloader.dataset.metainfo)
        if not cv2.imwrite(str(out / "predictions.png"), sheet):
            raise RuntimeError(f"OpenCV could not write {out / 'predictions.png'}.")
    return metrics


def format_table(metrics: dict[str, float]) -> str:
    """The metrics that people ask for first, in a table; those without a short name follow under their own."""
    rows = [(NAMES[name], metrics[name]) for name in NAMES if name in metrics]
    others = [name for name in metrics if name not in NAMES and not name.startswith("coco/")]
    rows += [(name.partition("/")[0], metrics[name]) for name in others]
    per_cent = [MPII[name] for name in MPII if name in metrics]
    # COCO says -1 where no person is of that size
    rows = [(name, "n/a" if value < 0 else f"{value:.{1 if name in per_cent else 3}f}") for name, value in rows]
    width = max(len(name) for name, _ in rows)
    rule = f"+-{'-' * width}-+-------+"
    return "\n".join([rule, *(f"| {name:<{width}} | {value:>5} |" for name, value in rows), rule])


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("config", help="MMPose config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for log, report and pictures")
    parser.add_argument("--pictures", type=int, default=24, help="people on the contact sheet (default: %(default)s)")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="changes to the config, as in mim: key=value"
    )
    return parser.parse_args()


def main() -> None:
    """Evaluate and print."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    metrics = evaluate(cfg, args.checkpoint, args.out, args.pictures)
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
