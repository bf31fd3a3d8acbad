"""Publish a checkpoint: write its weights as .safetensors, which cannot contain code, and its config.

The new files are OUT-HASH.safetensors and OUT-HASH.py; HASH is the beginning of the SHA-256 of the first file. The
tools of this package, mim test, load_from and init_cfg read the result. It has no optimizer state: keep the checkpoint
to resume the training.
"""

from __future__ import annotations

import argparse

from ..publishing import publish
from .cli import make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("checkpoint", metavar="IN", help="checkpoint file")
    parser.add_argument("out", metavar="OUT", help="path of the new files, without ending")
    return parser.parse_args()


def main() -> None:
    """Publish and print the files."""
    args = parse_args()
    files = publish(args.checkpoint, args.out)
    print(f"weights: {files.weights}\nsha256:  {files.sha256}")
    print(f"config:  {files.config or 'none: the checkpoint has no config'}")
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in files.metrics.items())
    print(f"metrics: {metrics or 'none: the checkpoint was saved before its validation; best_*.pth files have them'}")


if __name__ == "__main__":
    run(main)
