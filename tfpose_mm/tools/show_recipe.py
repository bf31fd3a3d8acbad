"""Show what a config trains and with what: parameter groups, schedule, augmentation, targets; and check that it agrees.

MMPose accepts silently a learning-rate pattern that matches nothing, or a crop size changed in one place of three. This
says so and exits with 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from tfpose_mm.analysis import describe, find_problems

from .cli import make_parser, run
from .runs import add_cfg_options, read_config


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator of MMPose")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Describe, check, print."""
    args = parse_args()
    register_all_modules()
    cfg = read_config(args.config, args.cfg_options)
    model = MODELS.build(cfg.model)
    print(f"{Path(args.config).stem}\n{describe(cfg, model)}")
    problems = find_problems(cfg, model)
    print("checks\n" + "\n".join(f"    {problem}" for problem in problems or ["everything agrees"]))
    return 1 if problems else 0


if __name__ == "__main__":
    run(main)
