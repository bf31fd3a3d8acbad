"""Test a checkpoint, analyse the errors of its keypoints, and record its attention in the same pass."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..datasets.config_data import labelled_keypoints, need_annotations
from ..engine.running import need_metrics, run_test
from ..errors import need_file
from ..evaluation import ErrorAnalysis, EvaluatedPerson, analyse_errors
from ..host.xtcocotools import BOX_AREA
from ..models.heads import is_tfpose_head
from .recording import Recording, need_persons


@dataclass
class EvaluatedModel:
    """Result of a test on annotated data."""

    metrics: dict[str, float]  # with annotated boxes, by MMPose's names
    detected: dict[str, float] | None  # the metrics with detected boxes, if the config has them
    metainfo: dict  # MMPose's metainfo of the data set
    persons: list[EvaluatedPerson]
    errors: ErrorAnalysis  # of the persons
    model: BaseModel | None = None  # with the weights
    recording: Recording | None = None  # of a TFPoseHead


def analyse_checkpoint(
    cfg: Config, checkpoint: str | Path, work_dir: str | Path, chosen: Sequence[int] = ()
) -> EvaluatedModel:
    """Test a checkpoint on annotated boxes, as ``mim test`` does, and analyse the errors of its keypoints.

    A config with detected boxes is tested with these, too. Their keypoint errors are not analysed, because detected
    boxes have no annotation.

    Args:
        cfg: Config of a top-down estimator with annotated test data; it is not changed.
        checkpoint: The weights.
        work_dir: Folder for the logs.
        chosen: Numbers of persons in the test data whose attention is recorded, for a ``TFPoseHead``.

    Returns:
        Metrics, persons and errors.

    Raises:
        UserError: If annotations, detected boxes, checkpoint or a chosen person are missing, if the checkpoint does not
            fit (see :func:`run_test`), or if the config computes no metric.
    """
    need_annotations(cfg)
    annotated, boxes = copy.deepcopy(cfg), cfg.test_dataloader.dataset.get("bbox_file")
    if boxes:
        need_file("file of detected boxes", boxes, "set test_dataloader.dataset.bbox_file=None for annotated boxes")
    annotated.test_dataloader.dataset.bbox_file = None
    test = _RecordTest(chosen, is_tfpose_head(cfg.model.head))
    runner, metrics = run_test(annotated, checkpoint, Path(work_dir) / "annotated_boxes", test)
    need_metrics(metrics)
    detected = None
    if boxes:
        _, detected = run_test(copy.deepcopy(cfg), checkpoint, Path(work_dir) / "detected_boxes", Hook())
    metainfo = runner.test_dataloader.dataset.metainfo
    errors = analyse_errors(test.persons, metainfo["flip_indices"], metainfo["sigmas"])
    return EvaluatedModel(metrics, detected, metainfo, test.persons, errors, runner.model, test.recording)


class _RecordTest(Hook):
    """Keep the persons of a test, and record the attention of a TFPose from the feature maps that the test computes."""

    def __init__(self, chosen: Sequence[int], attention: bool) -> None:
        self.chosen, self.attention = chosen, attention
        self.persons: list[EvaluatedPerson] = []
        self.recording: Recording | None = None
        self.feats: list[Sequence[Tensor]] = []

    def before_test(self, runner: Runner) -> None:
        """Prepare the recording."""
        if self.attention:
            model, data = runner.model, runner.test_dataloader.dataset
            need_persons(len(data), self.chosen)
            self.recording = Recording(model, data.metainfo, self.chosen, heatmaps=True)
            last = model.neck if model.with_neck else model.backbone
            self.handle = last.register_forward_hook(lambda module, inputs, outputs: self.feats.append(outputs))

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Keep and record a batch."""
        first = len(self.persons)
        self.persons += map(_evaluated, outputs or ())
        if self.recording is not None and data_batch is not None:
            # the flip test computes the feature maps of the images first, then those of the mirrored images
            self.recording.add(range(first, len(self.persons)), data_batch, self.feats[0])
            self.feats.clear()

    def after_test(self, runner: Runner) -> None:
        """Leave the model as it was."""
        if self.recording is not None:
            self.handle.remove()


def _evaluated(sample: PoseDataSample) -> EvaluatedPerson:
    annotated, box = sample.gt_instances, np.asarray(sample.gt_instances.bboxes, dtype=float)[0]
    annotation = sample.metainfo.get("raw_ann_info") or {}
    return EvaluatedPerson(
        image_path=str(sample.img_path),
        image_id=int(sample.img_id),
        instance_id=int(np.ravel(sample.metainfo.get("id", -1))[0]),
        keypoints=np.asarray(sample.pred_instances.keypoints, dtype=float)[0],
        target=np.asarray(annotated.keypoints, dtype=float)[0],
        labelled=labelled_keypoints(annotated),
        box=box,
        area=float(annotation.get("area", BOX_AREA * (box[2] - box[0]) * (box[3] - box[1]))),
    )
