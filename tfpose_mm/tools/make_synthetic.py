"""Draw synthetic people as a COCO keypoint data set: python -m tfpose_mm.tools.make_synthetic OUT --train N --val N."""

from __future__ import annotations

import argparse

from tfpose_mm.datasets.synthetic import LEVELS, write_dataset

from .cli import run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="folder to make; it must not exist")
    parser.add_argument("--train", type=int, default=2000, help="people to train on (default: %(default)s)")
    parser.add_argument("--val", type=int, default=300, help="people to evaluate on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: %(default)s)")
    parser.add_argument("--level", choices=sorted(LEVELS), default="easy", help="difficulty (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes that draw (default: one a processor)")
    return parser.parse_args()


def main() -> None:
    """Draw, with a progress bar, and say where."""
    args = parse_args()
    write_dataset(args.out, args.train, args.val, args.seed, args.level, args.workers)
    print(f"Wrote {args.train} people to train on and {args.val} to evaluate on to {args.out}")


if __name__ == "__main__":
    run(main)
