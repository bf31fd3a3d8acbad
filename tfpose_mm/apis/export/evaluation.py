"""Evaluate an exported model on the test data of a config."""

from __future__ import annotations

import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.utils import ProgressBar

from tfpose_lite.onnx_runner import PoseRunner

from ...utils import UserError, keypoint_names


def evaluate_onnx(cfg: Config, runner: PoseRunner) -> dict[str, float]:
    """Evaluate an exported model with the test data and the metrics of a config.

    The runner reads each image, cuts the persons out and predicts them; the pipeline of the config only gives boxes and
    annotations. ``mim test`` gives the same metrics for the model in torch, if both use the flip test or neither does.

    Args:
        cfg: The config.
        runner: The exported model.

    Returns:
        The metrics by MMPose's names.

    Raises:
        UserError: If the model has other keypoints than the data.
    """
    init_default_scope(cfg.get("default_scope", "mmpose"))
    loader = Runner.build_dataloader(cfg.test_dataloader)
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = loader.dataset.metainfo
    expected, got = keypoint_names(loader.dataset.metainfo), runner.metadata["keypoint_names"]
    if expected != got:
        raise UserError(
            f"The model must have the {len(expected)} keypoints of the test data ({', '.join(expected)}), but has "
            f"{len(got)} ({', '.join(got)}): give the config that the model was exported with."
        )
    progress = ProgressBar(len(loader.dataset))
    for batch in loader:
        for sample in batch["data_samples"]:
            keypoints, scores = runner(mmcv.imread(sample.img_path), np.asarray(sample.gt_instances.bboxes))
            sample.pred_instances = InstanceData(
                keypoints=keypoints,
                keypoint_scores=scores,
                bboxes=sample.gt_instances.bboxes,
                bbox_scores=sample.gt_instances.bbox_scores,
            )
        evaluator.process(data_samples=batch["data_samples"], data_batch=batch)
        progress.update(len(batch["data_samples"]))
    return {name: float(value) for name, value in evaluator.evaluate(len(loader.dataset)).items()}
