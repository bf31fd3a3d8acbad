"""Evaluate a checkpoint: print a table of metrics, draw predictions beside annotations.

It measures what ``mim test mmpose CONFIG --checkpoint CHECKPOINT`` measures, with any top-down config of MMPose.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..analysis.metrics_table import evaluate
from ..engine.running import read_config
from .cli import add_cfg_options, make_parser, not_negative, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="MMPose config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for log, report and pictures")
    parser.add_argument(
        "--pictures", type=not_negative, default=24, help="instances on the contact sheet (default: %(default)s)"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Evaluate and print."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    evaluate(cfg, args.checkpoint, args.out, args.pictures, args.cfg_options)
    print(f"\n{(args.out / 'report.txt').read_text(encoding='utf-8')}", end="")


if __name__ == "__main__":
    run(main)
