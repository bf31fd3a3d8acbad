"""Write a report on a trained model: one HTML page that needs no network.

It tests the model on the test data of its config. The page has metrics, PCK and mean similarity of each keypoint, kinds
of errors, error by decoder layer, best and worst cases, attention figures, sizes, latency, recipe and versions. With
--logs it has the curves of trainings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..analysis.report import write_report
from ..engine.running import read_config
from .cli import add_cfg_options, add_logs, make_parser, not_negative, positive, read_logs, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator, or the name of a packaged one")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for report.html, report.json and figures")
    parser.add_argument(
        "--cases",
        type=not_negative,
        default=8,
        help="worst and best cases, half as many for inversions and swaps (default: %(default)s)",
    )
    parser.add_argument(
        "--persons", nargs="+", type=not_negative, default=[0], help="persons whose attention is drawn (default: 0)"
    )
    parser.add_argument(
        "--limit",
        type=positive,
        help="persons for mean attention and errors by decoder layer, at least 12 (default: all)",
    )
    add_logs(parser)
    parser.add_argument("--metric", help="metric of the curves (default: AP, or MPII's PCK, or another of the logs)")
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu or cuda:0, for attention and latency; the test uses a GPU if there is one (default: %(default)s)",
    )
    add_cfg_options(parser)
    return read_logs(parser)


def main() -> None:
    """Write the report and print its path."""
    args = parse_args()
    page = write_report(
        read_config(args.config, args.cfg_options),
        args.checkpoint,
        args.out,
        args.cases,
        args.persons,
        args.limit,
        args.logs,
        args.metric,
        args.device,
        args.cfg_options,
    )
    print(f"\nreport: {page}")


if __name__ == "__main__":
    run(main)
