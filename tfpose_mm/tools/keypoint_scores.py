"""Compare the keypoint scores that a TFPose can give: AP, and whether a score says how likely a keypoint is right.

AUROC is how often a right keypoint (within 0.2 of the box, as in PCK@0.2) scores higher than a wrong one: 0.5 is
chance, 1 is best. ECE is how far a score is from the fraction of right keypoints at that score: 0 is best. AP is the
config's coco/AP, "-" where its evaluator measures none; scores move no keypoint, they only rank people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config

from tfpose_mm.analysis import auroc, calibration_error, judge, reliability
from tfpose_mm.visualization import draw_reliability

from .cli import make_parser, markdown_table, run
from .runs import KeepSamples, add_cfg_options, read_config, run_test


def scorings(cfg: Config) -> list[str | None]:
    """The scores that a config's head can give.

    Args:
        cfg: A config.

    Returns:
        Values of ``test_cfg.keypoint_scores``; the head's own alone if it is not a ``TFPoseHead``.
    """
    head = cfg.model.head
    if head.type != "TFPoseHead":
        return [None]
    return [None, *(["heatmap"] if head.get("aux_branch", True) else []), *(["sigma"] if head.get("sigma") else [])]


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/keypoint_scores"), help="folder for table and plot")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Test once for each score, print, draw."""
    args = parse_args()
    kinds = scorings(read_config(args.config, args.cfg_options))
    rows = [["score", "AP", "AUROC", "ECE", "mean score", "right"]]
    diagrams = {}
    for kind in kinds:
        cfg = read_config(args.config, args.cfg_options)
        cfg.merge_from_dict({"model.test_cfg.keypoint_scores": kind})
        keep = KeepSamples()
        _, metrics = run_test(cfg, args.checkpoint, args.out / f"test_{kind}", keep)
        scores, correct = judge(keep.samples)
        name = kind or ("1.0" if len(kinds) > 1 else "the head's own")
        diagrams[name] = reliability(scores.clip(0, 1), correct)
        figures = (auroc(scores, correct), calibration_error(diagrams[name]), scores.mean(), correct.mean())
        ap = f"{metrics['coco/AP']:.3f}" if "coco/AP" in metrics else "-"
        rows.append([name, ap, *(f"{figure:.3f}" for figure in figures)])
    table = "\n".join(markdown_table(rows))
    (args.out / "keypoint_scores.md").write_text(table + "\n", encoding="utf-8")
    draw_reliability(diagrams, args.out / "keypoint_scores.png")
    print(table)


if __name__ == "__main__":
    run(main)
