"""Draw synthetic images as a COCO keypoint data set: easy ones for the demo, hard ones to compare models."""

from __future__ import annotations

import argparse

from ..datasets.synthetic.dataset import write_dataset
from ..datasets.synthetic.levels import LEVELS
from .cli import make_parser, positive, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("out", help="new folder; it must not exist")
    parser.add_argument("--train", type=positive, default=2000, help="training instances (default: %(default)s)")
    parser.add_argument("--val", type=positive, default=300, help="validation instances (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed draws the same images (default: %(default)s)"
    )
    parser.add_argument("--level", choices=sorted(LEVELS), default="easy", help="difficulty (default: %(default)s)")
    parser.add_argument("--workers", type=positive, help="processes (default: one per processor)")
    return parser.parse_args()


def main() -> None:
    """Draw, with a progress bar, and print the folder."""
    args = parse_args()
    write_dataset(args.out, args.train, args.val, args.seed, args.level, args.workers)
    print(f"Wrote {args.train} training and {args.val} validation instances to {args.out}")


if __name__ == "__main__":
    run(main)
