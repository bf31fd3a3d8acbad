"""Predict MPII's test set and write pred_keypoints_mpii.mat, which MPII's evaluation takes.

The test annotations of MPII are not public: MPII's authors compute PCKh (Table 7 of the paper) from this file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.running import read_config
from ..evaluation.submission import submit_mpii
from .cli import add_cfg_options, make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config for MPII, as configs/tfpose_r50_mpii_256x256.py")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--release", required=True, help="mpii_human_pose_v1_u12_1.mat of MPII's annotations")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/mpii_submission"), help="folder for file and log")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Predict and write."""
    args = parse_args()
    path, number = submit_mpii(read_config(args.config, args.cfg_options), args.checkpoint, args.release, args.out)
    print(f"{number} persons are written to {path}: send it as MPII's evaluation page says.")


if __name__ == "__main__":
    run(main)
