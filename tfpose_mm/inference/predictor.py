"""Predict the keypoints of persons in images and videos, in batches across images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
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
from ..datasets.config_data import keypoint_names, list_data_sets
from ..engine import load_model
from ..engine.running import need_device
from ..errors import UserError, need_at_least
from ..models.heads import TFPoseHead
from .boxes import SCORE_THRESHOLD, AnyBoxes, PersonBoxes, find_boxes
from .sources import Frame, Inputs, Source, find_sources, read_frames

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
        keypoint_scores: Kind of keypoint scores, see :attr:`TFPoseHead.score_kinds`. ``"auto"``, the default, takes the
            best that the head has; other heads than a ``TFPoseHead`` have only their own.

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
        self.metainfo = dataset_meta_from_config(self.cfg, dataset_mode="test")
        sets = list_data_sets(self.cfg, "test_dataloader")
        if self.metainfo is None or not sets:
            raise UserError(
                "The config must have a test_dataloader, whose data name the keypoints and whose pipeline crops the "
                "persons, but has none: set it."
            )
        predicted = getattr(head, "num_joints", None) or getattr(head, "out_channels", None)
        number = self.metainfo["num_keypoints"]
        if isinstance(predicted, int) and predicted != number:
            raise UserError(
                f"The model predicts {predicted} keypoints, but the config's data have {number}: use its own config."
            )
        self.pipeline = Compose(sets[0].steps)
        self.unreadable: list[str] = []
        self.unmatched = 0
        self.others: Mapping[str, int] = {}

    def __call__(
        self,
        inputs: Inputs | Sequence[Source],
        boxes: AnyBoxes = None,
        batch_size: int = BATCH_SIZE,
        keep_images: bool = False,
        box_threshold: float = SCORE_THRESHOLD,
        category: int | None = None,
    ) -> Iterator[Prediction]:
        """Predict all persons of the inputs.

        Args:
            inputs: See :func:`find_sources`.
            boxes: Person boxes, see :func:`find_boxes`.
            batch_size: Number of persons in a batch. They come from several images.
            keep_images: Whether predictions have their image.
            box_threshold: Lowest score of a box in a json file.
            category: Category of the boxes in a json file, see :func:`find_boxes`.

        Yields:
            A prediction for each image and frame, in order, also for those without persons. ``unreadable`` has a
            sentence for each file that could not be read, ``unmatched`` the number of boxes of other images and
            ``others`` those of boxes of other categories.

        Raises:
            UserError: If an input does not exist, or the boxes cannot be used.
        """
        need_at_least(1, batch_size=batch_size)
        sources = find_sources(inputs)
        found = find_boxes(boxes, sources, keypoint_names(self.metainfo), box_threshold, category)
        self.unreadable, self.unmatched, self.others = [], found.unmatched, found.others
        return self._predict_frames(read_frames(sources, self.unreadable), found, batch_size, keep_images)

    def _predict_frames(
        self, frames: Iterator[Frame], boxes: PersonBoxes, batch_size: int, keep_images: bool
    ) -> Iterator[Prediction]:
        _use_one_thread_after_fork()
        waiting: deque[Prediction] = deque()  # those whose persons are not all predicted, and the ones after them
        batch: list[tuple[Prediction, int, dict]] = []  # a person: its image, its row, the input of the model
        for frame in frames:
            prediction = self._prepare(frame, boxes, keep_images)
            waiting.append(prediction)
            for row, (box, score) in enumerate(zip(prediction.boxes, prediction.box_scores)):
                person = dict(img=frame.image, img_path=frame.source.name, bbox=box[None], bbox_score=score[None])
                batch.append((prediction, row, self.pipeline({**self.metainfo, **person})))
                if len(batch) == batch_size:
                    self._predict(batch)
                    batch = []
            while waiting and not (batch and batch[0][0] is waiting[0]):
                yield waiting.popleft()
        if batch:
            self._predict(batch)
        yield from waiting

    def _prepare(self, frame: Frame, boxes: PersonBoxes, keep_image: bool) -> Prediction:
        """A prediction whose keypoints are not known yet."""
        found = boxes.find(frame)
        persons, keypoints = len(found), self.metainfo["num_keypoints"]
        height, width = frame.image.shape[:2]
        return Prediction(
            frame.source.name,
            frame.index,
            (width, height),
            np.zeros((persons, keypoints, 2)),
            np.zeros((persons, keypoints)),
            found[:, :4].astype(np.float32),
            found[:, 4].astype(np.float32),
            np.zeros(persons),
            found[:, 5].astype(int).tolist(),
            frame.source.fps,
            frame.image if keep_image else None,
            boxes.image_ids.get(frame.source.name),
        )

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
