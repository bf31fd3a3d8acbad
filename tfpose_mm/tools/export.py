"""Export a trained model with ONNX, and check that it predicts what torch predicts.

32 persons, of the config's test data or else of synthetic images, are predicted with torch, with ONNX Runtime and, if
it is installed, with OpenVINO. The file is written only if all keypoints agree within 0.01 pixels of the image, or 1
pixel with --fp16. Its metadata have all that a runner needs; --runner writes one beside it, which needs neither torch
nor MMPose.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..engine.running import read_config
from ..export.exporter import export_onnx
from ..export.folded_attention import ATTENTIONS
from ..inference.predictor import SCORES
from .cli import add_cfg_options, make_parser, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator, or the name of a packaged one")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file, which must not exist")
    parser.add_argument(
        "--attention",
        choices=ATTENTIONS,
        default=ATTENTIONS[0],
        help="deformable attention with ONNX's GridSample, or with Gather, for OpenVINO (default: %(default)s)",
    )
    parser.add_argument(
        "--keypoint-scores",
        choices=SCORES,
        default="auto",
        help="auto: from keypoint maps or heat maps if the model has them",
    )
    parser.add_argument("--flip-test", action="store_true", help="predict the mean of image and mirrored image")
    parser.add_argument("--fp16", action="store_true", help="compute in half precision")
    parser.add_argument("--runner", action="store_true", help="write onnx_runner.py beside the model")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Export and print how the file was checked."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    result = export_onnx(
        cfg,
        args.checkpoint,
        args.out,
        args.attention,
        args.keypoint_scores,
        args.flip_test,
        args.fp16,
        args.runner,
    )
    print(f"model:   {result.path} ({result.path.stat().st_size / 1e6:.1f} MB, opset {result.metadata['opset']})")
    if result.runner:
        print(f"runner:  {result.runner}")
    print(f"checked: {result.persons}; keypoints differ by up to {result.variation:.0f} pixels between persons")
    for parity in result.parities:
        print(
            f"         {parity.engine}: largest difference from torch {parity.keypoints:.2g} pixels, of scores "
            f"{parity.scores:.2g}"
        )


if __name__ == "__main__":
    run(main)
