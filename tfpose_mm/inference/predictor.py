"""Predict the keypoints of persons in images and videos, in batches across images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config

from ..config_files import read_config
from ..datasets.config_data import list_data_sets, predicted_keypoints
from ..engine import load_model
from ..engine.running import need_device
from ..errors import UserError, need_at_least
from ..models.heads import TFPoseHead
from .boxes import SCORE_THRESHOLD, AnyBoxes, PersonBoxes, find_boxes
from .sources import Frame, Inputs, find_sources, read_frames

BATCH_SIZE = 8  # larger batches of the paper's models are slower on a CPU: docs/prediction.md


@dataclass
class Prediction:
    """The persons of an image or of a video frame."""

    name: str  # path of the image or video
    index: int  # number of the frame, from 0; 0 for an image
    size: tuple[int, int]  # width and height of the image, in pixels
    keypoints: np.ndarray  # (P, K, 2), (x, y) in pixels of the image
    keypoint_scores: np.ndarray  # (P, K), in [0, 1] for the scores of this package
    boxes: np.ndarray  # (P, 4), x1, y1, x2, y2 in pixels of the image
    box_scores: np.ndarray  # (P,)
    areas: np.ndarray  # (P,), area of the enlarged box that the model sees, for the NMS of COCO's results
    category_ids: list[int]  # P ids of the boxes' categories
    fps: float | None = None  # frames per second of the video, None for an image
    image: np.ndarray | None = None  # (H, W, 3) uint8 BGR; None unless it was asked for
    image_id: int | None = None  # COCO's id of the image, None if unknown
    track_ids: np.ndarray | None = None  # (P,), numbers of the persons in a video; None without tracking


class Predictor:
    """A trained top-down model that predicts images and videos.

    Example::

        predictor = Predictor("configs/tfpose_tiny_synthetic_128x96.py", "work_dirs/tiny/epoch_16.pth")
        for prediction in predictor("images", boxes="boxes.json"):
            print(prediction.name, prediction.keypoints)

    Args:
        config: Config of a top-down estimator, its path, or the name of a packaged one.
        checkpoint: Its weights.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
        keypoint_scores: Kind of keypoint scores, see :attr:`TFPoseHead.score_kinds`. ``"auto"`` takes the best that the
            head has; other heads than a ``TFPoseHead`` have only their own.

    Raises:
        UserError: If the checkpoint does not fit, or the head does not have such scores.
    """

    def __init__(
        self, config: str | Path | Config, checkpoint: str | Path, device: str = "cpu", keypoint_scores: str = "auto"
    ) -> None:
        need_device(device)
        _use_one_thread_after_fork()
        self.cfg = read_config(config)
        init_default_scope(self.cfg.get("default_scope", "mmpose"))
        model_cfg = self.cfg.model.copy()
        model_cfg.test_cfg = dict(model_cfg.get("test_cfg") or {})
        self.model = load_model(model_cfg, checkpoint, device)
        head = self.model.head
        self.keypoint_scores = "own"
        if isinstance(head, TFPoseHead):
            self.keypoint_scores = self.model.test_cfg["keypoint_scores"] = head.choose_scores(keypoint_scores)
        elif keypoint_scores != "auto":
            raise UserError(
                f"A {type(head).__name__} has keypoint scores of its own, but got {keypoint_scores}: use auto."
            )
        sets = list_data_sets(self.cfg, "test_dataloader")
        if not sets:
            raise UserError("The config needs a test_dataloader, whose data name the keypoints, but has none: set it.")
        self.metainfo = dataset_meta_from_config(self.cfg, dataset_mode="test")
        predicted, number = predicted_keypoints(self.cfg), self.metainfo["num_keypoints"]
        if predicted not in (0, number):
            raise UserError(
                f"The model predicts {predicted} keypoints, but the data have {number}: use its own config."
            )
        self.pipeline = Compose(sets[0]["pipeline"])

    def __call__(
        self,
        inputs: Inputs,
        boxes: AnyBoxes = None,
        batch_size: int = BATCH_SIZE,
        keep_images: bool = False,
        box_threshold: float = SCORE_THRESHOLD,
        category: int | None = None,
    ) -> Iterator[Prediction]:
        """Predict all persons of the inputs.

        Args:
            inputs: One or several: an image or video file, a folder (its images and videos, without subfolders, sorted
                by name), a glob as ``images/*_left.jpg``, ``webcam`` or ``webcam:1``, or an array (H, W, 3) uint8 BGR.
            boxes: ``None`` takes the whole image as one box. A path is a json file of COCO annotations (without those
                of crowds) or of COCO detections: a list of dicts with ``bbox`` (x, y, w, h), ``score``, ``image_id`` or
                ``file_name``, and for a video ``frame``; without it the box is on all frames. A file name belongs to
                the input whose path ends in it; an ``image_id`` alone to the file whose name without ending is this
                number, as in COCO. An array is (P, 4) as x1, y1, x2, y2, or (P, 5) with scores, for every image. A
                function takes an image (H, W, 3) uint8 BGR and returns such an array.
            batch_size: Number of persons in a batch. They come from several images.
            keep_images: Whether predictions have their image.
            box_threshold: Lowest score of a box in a json file.
            category: Id of the category in a json file. ``None`` takes those with as many keypoints as the model;
                else the one called person; else 1, as MMPose; else the only one.

        Yields:
            A prediction for each image and frame, in order, also for those without persons. ``unreadable`` has a
            sentence for each file that could not be read, ``notes`` those on boxes of the file that are left out.

        Raises:
            UserError: If an input does not exist, or the boxes cannot be used.
        """
        need_at_least(1, batch_size=batch_size)
        sources = find_sources(inputs)
        found = find_boxes(boxes, sources, self.metainfo["num_keypoints"], box_threshold, category)
        self.unreadable: list[str] = []
        self.notes = found.notes
        return self._predict_frames(read_frames(sources, self.unreadable), found, batch_size, keep_images)

    def _predict_frames(
        self, frames: Iterator[Frame], boxes: PersonBoxes, batch_size: int, keep_images: bool
    ) -> Iterator[Prediction]:
        _use_one_thread_after_fork()
        waiting: deque[Prediction] = deque()  # those whose persons are not all predicted, and the ones after them
        batch: list[tuple[Prediction, int, dict]] = []  # a person: its image, its row, the input of the model
        for source, index, image in frames:
            found = boxes.find(Frame(source, index, image))
            scores = np.zeros((len(found), self.metainfo["num_keypoints"]))
            prediction = Prediction(
                source.name,
                index,
                image.shape[1::-1],
                keypoints=np.zeros((*scores.shape, 2)),  # to be predicted, as scores and areas
                keypoint_scores=scores,
                boxes=found[:, :4].astype(np.float32),
                box_scores=found[:, 4].astype(np.float32),
                areas=np.zeros(len(found)),
                category_ids=found[:, 5].astype(int).tolist(),
                fps=source.fps,
                image=image if keep_images else None,
                image_id=boxes.image_ids.get(source.name),
            )
            waiting.append(prediction)
            for row, (box, score) in enumerate(zip(prediction.boxes, prediction.box_scores)):
                person = dict(img=image, img_path=source.name, bbox=box[None], bbox_score=score[None])
                batch.append((prediction, row, self.pipeline({**self.metainfo, **person})))
                if len(batch) == batch_size:
                    self._predict(batch)
                    batch = []
            while waiting and not (batch and batch[0][0] is waiting[0]):
                yield waiting.popleft()
        if batch:
            self._predict(batch)
        yield from waiting

    @torch.no_grad()
    def _predict(self, batch: list[tuple[Prediction, int, dict]]) -> None:
        samples = self.model.test_step(pseudo_collate([data for _, _, data in batch]))
        for (prediction, row, _), sample in zip(batch, samples):
            prediction.keypoints[row] = sample.pred_instances.keypoints[0]
            prediction.keypoint_scores[row] = sample.pred_instances.keypoint_scores[0]
            prediction.areas[row] = np.prod(sample.gt_instances.bbox_scales)


_PROCESS = os.getpid()


def _use_one_thread_after_fork() -> None:
    """A forked process has no threads of torch and OpenCV; an operation with several would wait for them forever."""
    if os.getpid() != _PROCESS:
        torch.set_num_threads(1)
        cv2.setNumThreads(0)  # 1 would join the threads of the parent process: it hangs or crashes
