"""Compare the keypoint scores that a TFPose can give, on annotated boxes.

AP: the config's coco/AP, "-" where its evaluator does not measure it. Scores rank instances; they move no keypoint.
AUROC: how often a right keypoint (within 0.2 of the box, as in PCK@0.2) scores higher than a wrong one; 0.5 is chance,
1 is best. ECE: the mean distance between score and fraction of right keypoints; 0 is best. For each threshold, a
table has the fraction of keypoints above it and their precision. The last line compares the coordinates with the maxima
of the auxiliary heat maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.keypoint_scores import compare_scores, format_scores

from .cli import add_cfg_options, make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/keypoint_scores"), help="folder for tables and plot"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Compare and print."""
    args = parse_args()
    print(format_scores(*compare_scores(args.config, args.checkpoint, args.out, args.cfg_options)))


if __name__ == "__main__":
    run(main)
