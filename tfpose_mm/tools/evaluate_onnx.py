"""Evaluate an exported model on the test data of a config, with the metrics of the config.

``mim test`` gives the metrics of the model in torch. Most configs use the flip test there, so export with --flip-test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tfpose_lite.onnx_runner import ENGINES, PoseRunner
from tfpose_mm.apis import need_file, read_config
from tfpose_mm.apis.export import evaluate_onnx, need_package
from tfpose_mm.utils import UserError

from .cli import add_cfg_options, make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config that the model was exported with, or the name of a packaged one")
    parser.add_argument("model", type=Path, help="the .onnx file")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="(default: %(default)s)")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Evaluate and print the metrics."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    need_file("model", args.model, "write it with python -m tfpose_mm.tools.export")
    need_package(args.engine)
    try:
        runner = PoseRunner(str(args.model), args.engine)
    except ValueError as error:
        raise UserError(str(error)) from error
    metrics = evaluate_onnx(cfg, runner)
    print(f"\n{args.model}, {args.engine}, flip test: {'yes' if runner.metadata['flip_test'] else 'no'}")
    for name, value in metrics.items():
        print(f"{name:<16} {value:.4f}")


if __name__ == "__main__":
    run(main)
