"""Evaluate a checkpoint, print one table, draw predictions beside annotations.

As ``mim test mmpose CONFIG --checkpoint CHECKPOINT`` does, with any of MMPose's top-down configs; the table and the
contact sheet are what it adds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Sequence

import cv2
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.structures import PoseDataSample

from tfpose_mm.visualization import draw_contact_sheet

from .cli import run

# what the metrics call it: what the table calls it
NAMES = {
    "coco/AP": "AP",
    "coco/AP .5": "AP50",
    "coco/AP .75": "AP75",
    "coco/AP (M)": "AP (medium)",
    "coco/AP (L)": "AP (large)",
    "coco/AR": "AR",
}


class KeepSamples(Hook):
    """Keep the first predicted samples of a test.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.samples: list[PoseDataSample] = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Take what is still wanted from a batch's outputs."""
        self.samples += list(outputs or ())[: self.number - len(self.samples)]


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
    for what, path, remedy in (
        ("checkpoint", Path(checkpoint), "train one first, as the README shows"),
        ("annotation file", annotation_file(cfg), "point the config's data_root to the data, as the README shows"),
    ):
        if not path.is_file():
            raise FileNotFoundError(f"The {what} {path} does not exist: {remedy}.")
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
    rows += [(name.partition("/")[0], value) for name, value in metrics.items() if not name.startswith("coco/")]
    # COCO says -1 where no person is of that size
    rows = [(name, "n/a" if value < 0 else f"{value:.3f}") for name, value in rows]
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
    if not Path(args.config).is_file():
        raise FileNotFoundError(f"The config {args.config} does not exist: give a path from the current folder.")
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
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
