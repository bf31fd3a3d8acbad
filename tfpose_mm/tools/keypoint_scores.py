"""Compare the keypoint scores that a TFPose can give: AP, and whether a score says how likely a keypoint is right.

AUROC is how often a right keypoint (within 0.2 of the box, as in PCK@0.2) scores higher than a wrong one: 0.5 is
chance, 1 is best. ECE is how far a score is from the fraction of right keypoints at that score: 0 is best. AP is the
config's coco/AP, "-" where its evaluator measures none; scores move no keypoint, they only rank people. Last, what the
auxiliary heat maps find by themselves: where that is much more, the features know what the decoder has not learned.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.codecs import UDPHeatmap
from mmpose.structures import PoseDataSample

from tfpose_mm.analysis import auroc, calibration_error, judge, reliability
from tfpose_mm.visualization import draw_reliability

from .cli import make_parser, markdown_table, run
from .runs import KeepSamples, add_cfg_options, read_config, run_test


def scorings(cfg: Config) -> list[str | None]:
    """The scores that a config's head can give.

    Args:
        cfg: A config.

    Returns:
        Values of ``test_cfg.keypoint_scores``; the head's own alone if it is not a ``TFPoseHead``.
    """
    head = cfg.model.head
    if head.type != "TFPoseHead":
        return [None]
    return [None, *(["heatmap"] if head.get("aux_branch", True) else []), *(["sigma"] if head.get("sigma") else [])]


def read_maxima(samples: list[PoseDataSample], codec: dict) -> list[PoseDataSample]:
    """What the auxiliary heat maps predict by themselves.

    Args:
        samples: Predicted samples with ``pred_fields.heatmaps`` (K, H, W).
        codec: Config of the ``TFPoseLabel`` that trained them.

    Returns:
        Copies whose keypoints are the maxima, in the image, as MMPose's UDP codec decodes them.
    """
    decoder = UDPHeatmap(codec["input_size"], codec["heatmap_size"], sigma=codec["sigma"])
    size = np.array(codec["input_size"])  # MMPose's UDP codec decodes the centre of the last pixel to the full width
    copies = []
    for sample in samples:
        keypoints, scores = decoder.decode(sample.pred_fields.heatmaps.numpy())
        copied = PoseDataSample()
        copied.gt_instances = sample.gt_instances
        corner = sample.input_center - 0.5 * sample.input_scale
        copied.pred_instances = InstanceData(
            keypoints=keypoints / size * sample.input_scale + corner, keypoint_scores=scores
        )
        copies.append(copied)
    return copies


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config of a top-down estimator")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/keypoint_scores"), help="folder for table and plot")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Test once for each score, print, draw."""
    args = parse_args()
    kinds = scorings(read_config(args.config, args.cfg_options))
    rows = [["score", "AP", "AUROC", "ECE", "mean score", "right"]]
    diagrams, right = {}, None
    for kind in kinds:
        cfg = read_config(args.config, args.cfg_options)
        changes = {"model.test_cfg.keypoint_scores": kind, "model.test_cfg.output_heatmaps": kind == "heatmap"}
        cfg.merge_from_dict(changes)
        keep = KeepSamples()
        _, metrics = run_test(cfg, args.checkpoint, args.out / f"test_{kind}", keep)
        scores, correct = judge(keep.samples)
        if kind == "heatmap":
            right = judge(read_maxima(keep.samples, cfg.codec))[1].mean()
        name = kind or ("1.0" if len(kinds) > 1 else "the head's own")
        diagrams[name] = reliability(scores.clip(0, 1), correct)
        figures = (auroc(scores, correct), calibration_error(diagrams[name]), scores.mean(), correct.mean())
        ap = f"{metrics['coco/AP']:.3f}" if "coco/AP" in metrics else "-"
        rows.append([name, ap, *(f"{figure:.3f}" for figure in figures)])
    table = "\n".join(markdown_table(rows))
    if right is not None:
        table += (
            f"\n\nOf the auxiliary heat maps' maxima {right:.3f} are right, of the coordinates {correct.mean():.3f}."
        )
    (args.out / "keypoint_scores.md").write_text(table + "\n", encoding="utf-8")
    draw_reliability(diagrams, args.out / "keypoint_scores.png")
    print(table)


if __name__ == "__main__":
    run(main)
