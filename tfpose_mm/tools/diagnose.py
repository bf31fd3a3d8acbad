"""Print where the decoder of a trained TFPose loses accuracy, on the annotated test data of its config.

It prints the PCK after each decoder layer. For a model with the auxiliary branch it also prints the PCK of the maxima
of the auxiliary heat maps, and the PCK of the decoder if y_0 is these maxima.
"""

from __future__ import annotations

import argparse

from ..analysis.diagnosis import diagnose, format_diagnosis
from ..engine.running import read_config
from .cli import add_cfg_options, make_parser, positive, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config with a TFPoseHead, or the name of a packaged one")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--limit", type=positive, help="number of persons (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    print(format_diagnosis(diagnose(cfg, args.checkpoint, args.limit, device=args.device)))


if __name__ == "__main__":
    run(main)
