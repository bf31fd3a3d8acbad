"""Draw the paper's figures of a trained TFPose, with the drawn arrays as .npz beside each picture.

It draws for the test data of the config: mean query-to-query attention (Figure 6, and 8 and 9 on a skeleton) and the
error by decoder layer. It draws for each person in --persons: sampling points (Figure 7), attention weights (Figures 11
and 12) and the refinement of each keypoint. It draws predicted skeletons of the first 12 persons (Figure 10). With
--logs it draws curves of trainings (Figure 5).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..analysis.figures import draw_figures
from ..engine.running import read_config
from .cli import add_cfg_options, add_logs, make_parser, not_negative, positive, read_logs, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config with a TFPoseHead, or the name of a packaged one")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and arrays")
    parser.add_argument(
        "--persons", nargs="+", type=not_negative, default=[0], help="indices of persons in the test data (default: 0)"
    )
    parser.add_argument(
        "--keypoints", nargs="+", help="keypoints of Figures 11 and 12 (default: right_shoulder right_knee)"
    )
    parser.add_argument("--limit", type=positive, help="persons for the means, at least 12 (default: all)")
    parser.add_argument(
        "--pixel", nargs=2, type=float, metavar=("X", "Y"), help="input pixel whose encoder attention is drawn"
    )
    add_logs(parser)
    parser.add_argument("--metric", default="coco/AP", help="metric of the curves (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    add_cfg_options(parser)
    return read_logs(parser)


def main() -> None:
    """Draw and print the pictures."""
    args = parse_args()
    pictures = draw_figures(
        read_config(args.config, args.cfg_options),
        args.checkpoint,
        args.out,
        args.persons,
        args.keypoints,
        args.limit,
        None if args.pixel is None else tuple(args.pixel),
        args.logs,
        args.metric,
        args.device,
    )
    print("\n".join(map(str, pictures)))


if __name__ == "__main__":
    run(main)
