"""Test a checkpoint and analyse the errors of its keypoints."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmpose.structures import PoseDataSample

from ..datasets.config_data import labelled_keypoints, need_annotations
from ..engine.running import KeepSamples, OutputHook, need_metrics, run_test
from ..errors import need_file
from ..evaluation import ErrorAnalysis, EvaluatedPerson, analyse_errors

AREA_OF_BOX = 0.53  # MMPose's area of a person whose annotation has none, as a fraction of its box


class KeepPersons(OutputHook):
    """Keep the predicted and the annotated keypoints of each person of a test."""

    def __init__(self) -> None:
        self.persons: list[EvaluatedPerson] = []

    def keep(self, outputs: Sequence[PoseDataSample]) -> None:
        """Keep the persons of a batch."""
        self.persons += [_evaluated(sample) for sample in outputs]


def _evaluated(sample: PoseDataSample) -> EvaluatedPerson:
    annotated, box = sample.gt_instances, np.asarray(sample.gt_instances.bboxes, dtype=float)[0]
    annotation = sample.metainfo.get("raw_ann_info") or {}
    area = annotation.get("area", AREA_OF_BOX * (box[2] - box[0]) * (box[3] - box[1]))
    return EvaluatedPerson(
        str(sample.img_path),
        int(sample.img_id),
        int(np.ravel(sample.metainfo.get("id", -1))[0]),
        np.asarray(sample.pred_instances.keypoints, dtype=float)[0],
        np.asarray(annotated.keypoints, dtype=float)[0],
        labelled_keypoints(annotated),
        box,
        float(area),
    )


@dataclass
class EvaluatedModel:
    """Result of a test on annotated data.

    Attributes:
        metrics: The config's metrics with annotated boxes, by MMPose's names.
        detected: The metrics with detected boxes; ``None`` if the config has none.
        metainfo: MMPose's metainfo of the data set.
        persons: The persons.
        errors: Their errors.
    """

    metrics: dict[str, float]
    detected: dict[str, float] | None
    metainfo: dict
    persons: list[EvaluatedPerson]
    errors: ErrorAnalysis


def analyse_checkpoint(cfg: Config, checkpoint: str | Path, work_dir: str | Path) -> EvaluatedModel:
    """Test a checkpoint on annotated boxes, as ``mim test`` does, and analyse the errors of its keypoints.

    A config with detected boxes is tested with these, too. Their keypoint errors are not analysed, because detected
    boxes have no annotation.

    Args:
        cfg: Config of a top-down estimator with annotated test data; it is not changed.
        checkpoint: The weights.
        work_dir: Folder for the logs.

    Returns:
        Metrics, persons and errors.

    Raises:
        UserError: If annotations, detected boxes or checkpoint are missing, if the checkpoint does not fit (see
            :func:`run_test`), or if the config computes no metric.
    """
    need_annotations(cfg)
    detected, boxes = None, cfg.test_dataloader.dataset.get("bbox_file")
    if boxes:
        need_file("file of detected boxes", boxes, "set test_dataloader.dataset.bbox_file=None for annotated boxes")
        _, detected = run_test(copy.deepcopy(cfg), str(checkpoint), Path(work_dir) / "detected_boxes", KeepSamples(0))
    annotated = copy.deepcopy(cfg)
    annotated.test_dataloader.dataset.bbox_file = None
    keep = KeepPersons()
    runner, metrics = run_test(annotated, str(checkpoint), Path(work_dir) / "annotated_boxes", keep)
    need_metrics(metrics)
    metainfo = runner.test_dataloader.dataset.metainfo
    errors = analyse_errors(keep.persons, metainfo["flip_indices"], metainfo["sigmas"])
    return EvaluatedModel(metrics, detected, metainfo, keep.persons, errors)
