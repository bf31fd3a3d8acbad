"""Compare models: parameters, MACs, latency by part, throughput, memory and, with checkpoints, accuracy.

All models run in turns in one process; the table has medians and quartiles. Compare the rows of one table. Do not
compare absolute times of different machines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..comparison.table import compare_models, format_rows
from ..engine.running import read_config
from .cli import add_cfg_options, make_parser, positive, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("configs", nargs="+", help="configs of top-down estimators, or MMPose's own as mmpose::path")
    parser.add_argument("--checkpoints", nargs="+", help="a checkpoint for each config, 'none' for no accuracy")
    parser.add_argument(
        "--batches", nargs="+", type=positive, default=[1, 8], help="batch sizes for throughput (default: 1 8)"
    )
    parser.add_argument("--repeats", type=positive, default=20, help="timed rounds (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"), help="folder for table, csv, plot")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    names = args.checkpoints or ["none"] * len(args.configs)
    checkpoints = [None if name == "none" else name for name in names]
    configs = [read_config(config, args.cfg_options) for config in args.configs]
    rows = compare_models(configs, checkpoints, args.batches, args.repeats, args.device, args.out)
    print(f"{format_rows(rows)}\nfiles: {args.out}/benchmark.*")


if __name__ == "__main__":
    run(main)
