"""Compare the kinds of keypoint scores of a head: AP, AUROC and calibration.

python -m benchmarks.keypoint_scores CONFIG CHECKPOINT
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpose.codecs import UDPHeatmap
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from benchmarks.command_line import run
from benchmarks.reliability_plot import draw_reliability
from benchmarks.score_quality import Bin, Threshold, auroc, by_threshold, calibration_error, judge, reliability
from tfpose_mm import cli
from tfpose_mm.config_files import read_config
from tfpose_mm.datasets.config_data import need_annotations
from tfpose_mm.engine.running import run_test
from tfpose_mm.models.heads import is_tfpose_head
from tfpose_mm.tables import markdown_table


class ScoreRow(NamedTuple):
    """The quality of one kind of score on the labelled keypoints of a data set.

    Attributes:
        name: a kind of ``TFPoseHead.score_kinds``, or ``"the head's own"`` for other heads.
        ap: coco/AP, ``None`` if the config's evaluator does not measure it.
        auroc: Probability that a correct keypoint has a higher score than a wrong one.
        ece: Expected calibration error.
        mean: Mean score.
        right: Fraction of correct keypoints.
        bins: The reliability diagram.
        thresholds: Precision above several thresholds.
    """

    name: str
    ap: float | None
    auroc: float
    ece: float
    mean: float
    right: float
    bins: list[Bin]
    thresholds: list[Threshold]


class KeepScores(Hook):
    """Keep the score of each labelled keypoint and whether it is correct. Samples are not kept.

    Args:
        codec: Codec config of the predicted heat maps, to evaluate their maxima, too; ``None`` without heat maps.
    """

    def __init__(self, codec: dict | None) -> None:
        self.codec = codec
        self.keypoints: list[tuple[np.ndarray, np.ndarray]] = []
        self.maxima: list[np.ndarray] = []

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence) -> None:
        """Evaluate a batch."""
        self.keypoints.append(judge(outputs))
        if self.codec is not None:
            self.maxima.append(judge(read_maxima(outputs, self.codec))[1])


def read_maxima(samples: Sequence[PoseDataSample], codec: dict) -> list[PoseDataSample]:
    """Decode the auxiliary heat maps by their maxima, as heat-map methods do.

    Args:
        samples: Predicted samples with ``pred_fields.heatmaps`` (K, H, W).
        codec: Config of the ``TFPoseLabel`` of the heat maps.

    Returns:
        Copies whose keypoints are the maxima, in pixels of the image.
    """
    decoder = UDPHeatmap(codec["input_size"], codec["heatmap_size"], sigma=codec["sigma"])
    size = np.array(codec["input_size"])  # MMPose's UDP codec decodes the centre of the last pixel to the full width
    copies = []
    for sample in samples:
        keypoints, scores = decoder.decode(sample.pred_fields.heatmaps.cpu().numpy())
        copied = PoseDataSample()
        copied.gt_instances = sample.gt_instances
        corner = sample.input_center - 0.5 * sample.input_scale
        copied.pred_instances = InstanceData(
            keypoints=keypoints / size * sample.input_scale + corner, keypoint_scores=scores
        )
        copies.append(copied)
    return copies


def compare_scores(
    config: str | Path, checkpoint: str | Path, out: Path, options: Mapping[str, Any] | Sequence[str] | None = None
) -> tuple[list[ScoreRow], float | None]:
    """Test a checkpoint once for each kind of keypoint score that its head supports.

    Scores are evaluated on annotated boxes, because detected boxes have no labels. A keypoint is correct if its error
    is at most 0.2 of the longer side of the box.

    Args:
        config: Config of a top-down estimator.
        checkpoint: The weights.
        out: Folder for the logs, ``keypoint_scores.md`` and the reliability diagram ``keypoint_scores.png``.
        options: Changes to the config, by dotted keys.

    Returns:
        A row for each kind of score; and the fraction of correct keypoints if the maxima of the auxiliary heat maps are
        the predicted coordinates, ``None`` without heat maps.

    Raises:
        UserError: If the config or the checkpoint cannot be used, see :func:`run_test`.
    """
    cfg = read_config(config, options)
    need_annotations(cfg)
    is_tfpose = is_tfpose_head(cfg.model.head)
    kinds = MODELS.build(cfg.model.head).score_kinds[::-1] if is_tfpose else (None,)
    rows, maxima = [], None
    for kind in kinds:
        cfg = read_config(config, options)
        cfg.test_dataloader.dataset.bbox_file = None
        with_heatmaps = kind == "heatmap"
        cfg.merge_from_dict({"model.test_cfg.keypoint_scores": kind, "model.test_cfg.output_heatmaps": with_heatmaps})
        keep = KeepScores(cfg.codec if with_heatmaps else None)
        _, metrics = run_test(cfg, checkpoint, out / f"test_{kind}", keep)
        scores, right = (np.concatenate(part) for part in zip(*keep.keypoints))
        if with_heatmaps:
            maxima = float(np.concatenate(keep.maxima).mean())
        bins = reliability(scores.clip(0, 1), right)
        name = kind or "the head's own"
        quality = (auroc(scores, right), calibration_error(bins), float(scores.mean()), float(right.mean()))
        rows.append(ScoreRow(name, metrics.get("coco/AP"), *quality, bins, by_threshold(scores, right)))
    (out / "keypoint_scores.md").write_text(format_scores(rows, maxima) + "\n", encoding="utf-8")
    draw_reliability({row.name: row.bins for row in rows}, out / "keypoint_scores.png")
    return rows, maxima


def format_scores(rows: Sequence[ScoreRow], maxima: float | None) -> str:
    """The rows of :func:`compare_scores` as a Markdown table.

    Args:
        rows: The rows.
        maxima: Fraction of correct maxima of the auxiliary heat maps.

    Returns:
        The table, a table of thresholds for each kind of score that varies, and a sentence on the maxima.
    """
    table = [["score", "AP", "AUROC", "ECE", "mean score", "right"]]
    for row in rows:
        figures = (f"{figure:.3f}" for figure in (row.auroc, row.ece, row.mean, row.right))
        table.append([row.name, "-" if row.ap is None else f"{row.ap:.3f}", *figures])
    text = "\n".join(["Evaluated on annotated boxes.", "", *markdown_table(table)])
    for row in rows:
        if row.name not in ("one", "the head's own") or len({entry.above for entry in row.thresholds}) > 1:
            table = [["threshold", "fraction above", "precision"]]
            table += [[f"{t:.1f}", f"{above:.3f}", f"{precision:.3f}"] for t, above, precision in row.thresholds]
            text += f"\n\nThresholds of the scores from {row.name}:\n\n" + "\n".join(markdown_table(table))
    if maxima is not None:
        text += (
            f"\n\nThe maxima of the auxiliary heat maps are right for {maxima:.3f} of the keypoints, the predicted "
            f"coordinates for {rows[0].right:.3f}."
        )
    return text


def keypoint_scores(
    config: str | Path,
    checkpoint: str | Path,
    *,
    out: str | Path = "work_dirs/keypoint_scores",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> str:
    """Compare the keypoint scores that a TFPose can give, on annotated boxes.

    AP: the config's coco/AP, "-" where its evaluator does not measure it. Scores rank instances; they move no keypoint.
    AUROC: how often a right keypoint (within 0.2 of the box, as in PCK@0.2) scores higher than a wrong one; 0.5 is
    chance, 1 is best. ECE: the mean distance between score and fraction of right keypoints; 0 is best. For each
    threshold, a table has the fraction of keypoints above it and their precision. The last line compares the
    coordinates with the maxima of the auxiliary heat maps.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: Folder for tables and plot.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The tables.
    """
    return format_scores(*compare_scores(config, checkpoint, Path(out), cfg_options))


def main() -> int:
    """Compare and print."""
    return cli.run(keypoint_scores, "python -m benchmarks.keypoint_scores", sys.argv[1:])


if __name__ == "__main__":
    run(main)
