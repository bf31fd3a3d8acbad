"""Find the faults of the data sets of a config before a training.

The annotations, images, flip pairs and keypoint order of the three dataloaders are checked. For each kind of fault, a
table has what a training does (refused: it stops; skipped: it leaves the row out; warning: it uses the row), the number
of faults and the first places, counted from 0. --json writes all places. Nothing else is written. docs/check_data.md
lists the checks.

The exit status is 0 if nothing is refused or skipped, 1 if something is, and 2 if the config or no file can be read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..datasets.checks.checking import check_data
from ..datasets.checks.fault_table import format_data_report, need_report_path
from ..engine.running import read_config
from .cli import add_cfg_options, make_parser, positive, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator of MMPose")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all findings to this file")
    parser.add_argument("--no-images", action="store_true", help="do not read the images")
    parser.add_argument("--workers", type=positive, help="threads that read images (default: number of processors)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Check, print, write."""
    args = parse_args()
    if args.json is not None:
        need_report_path(args.json)
    cfg = read_config(args.config, args.cfg_options)
    report = check_data(cfg, not args.no_images, args.workers, progress=True)
    print(format_data_report(report))
    if args.json is not None:
        args.json.write_text(report.to_json() + "\n", encoding="utf-8")
        print(f"All findings are in {args.json}.")
    return report.exit_status(args.strict)


if __name__ == "__main__":
    run(main)
