"""Predict the keypoints of persons in images, folders, videos or a webcam; write drawings, json and CSV.

Without --boxes or --detector the whole image is one person. Quote a glob pattern.
Exit status: 0; 3 if a file could not be read (the rest is done); 130 after Ctrl-C (what was done is written).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..engine.running import read_config
from ..inference.boxes import FromDetector, FromFile
from ..inference.prediction import DRAW_THRESHOLD, predict
from ..inference.predictor import BATCH_SIZE, SCORES
from .cli import add_cfg_options, make_parser, positive, run


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator, or the name of a packaged one")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image, folder, glob, video, webcam or webcam:1")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--boxes", help="person boxes: COCO annotations or detections, or boxes by file name (json)")
    group.add_argument("--detector", help="config of a detector of MMDetection")
    parser.add_argument("--detector-weights", help="its checkpoint")
    parser.add_argument("--box-threshold", type=float, default=0.3, help="lowest box score (default: %(default)s)")
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=BATCH_SIZE,
        help="persons at once, of several images (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument(
        "--keypoint-scores",
        choices=SCORES,
        default="auto",
        help="auto: from keypoint maps or heat maps if the model has them",
    )
    parser.add_argument(
        "--threshold", type=float, default=DRAW_THRESHOLD, help="lowest drawn keypoint score (default: %(default)s)"
    )
    parser.add_argument("--no-drawings", action="store_true", help="write only json and CSV")
    parser.add_argument("--track", action="store_true", help="number the persons of videos")
    parser.add_argument("--smooth", action="store_true", help="smooth the keypoints of videos; needs --track")
    add_cfg_options(parser)
    args = parser.parse_args()
    if bool(args.detector) != bool(args.detector_weights):
        parser.error("--detector and --detector-weights must be given together")
    return args


def main() -> int:
    """Predict and print what was done."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    boxes = None
    if args.boxes:
        boxes = FromFile(args.boxes, args.box_threshold)
    elif args.detector:
        boxes = FromDetector(args.detector, args.detector_weights, args.device, args.box_threshold)
    summary = predict(
        cfg,
        args.checkpoint,
        args.inputs,
        args.out,
        boxes,
        args.batch_size,
        args.device,
        args.keypoint_scores,
        not args.no_drawings,
        args.threshold,
        args.track,
        args.smooth,
    )
    print(f"{summary.images} images or frames with {summary.persons} persons in {summary.seconds:.1f} s: {args.out}")
    if summary.unmatched:
        print(f"{summary.unmatched} boxes of {args.boxes} are of images that are not among the inputs.")
    for name, reason in summary.unreadable:
        print(f"{name} could not be read: {reason}.", file=sys.stderr)
    if summary.interrupted:
        print("Interrupted: the files contain all results up to this point.", file=sys.stderr)
        return 130
    return 3 if summary.unreadable else 0


if __name__ == "__main__":
    run(main)
