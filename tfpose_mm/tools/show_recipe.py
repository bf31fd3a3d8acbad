"""Show the recipe of a config (parameter groups, schedule, augmentation, targets) and check that its parts agree.

MMPose silently accepts a learning-rate pattern that matches no parameter, or an input size that is changed in one of
three places. This tool reports such problems and exits with 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.running import read_config
from ..recipe.parameter_groups import check_recipe
from .cli import add_cfg_options, make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator of MMPose")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Describe, check, print."""
    args = parse_args()
    text, problems = check_recipe(read_config(args.config, args.cfg_options))
    print(f"{Path(args.config).stem}\n{text}")
    print("checks\n" + "\n".join(f"    {problem}" for problem in problems or ["no problem found"]))
    return 1 if problems else 0


if __name__ == "__main__":
    run(main)
