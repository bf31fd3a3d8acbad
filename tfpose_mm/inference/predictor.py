"""Predict the keypoints of persons in images and videos, in batches across images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.structures import PoseDataSample

from ..config_files import read_config
from ..datasets.config_data import keypoint_names, list_data_sets
from ..engine import load_model
from ..engine.running import need_device
from ..errors import UserError
from ..models.heads import TFPoseHead
from .boxes import PERSON, AnyBoxes, BoxProvider, FromArrays, FromFile, make_provider
from .sources import Frame, Source, Unreadable, find_sources, read_frames

BATCH_SIZE = 8  # larger batches of the paper's models are slower on a CPU: docs/prediction.md


@dataclass
class Prediction:
    """The persons of an image or of a video frame.

    Attributes:
        name: Path of the image or video.
        index: Number of the frame, from 0; 0 for an image.
        size: Width and height of the image, in pixels.
        keypoints: (P, K, 2), (x, y) in pixels of the image.
        keypoint_scores: (P, K), in [0, 1] for the scores of this package.
        boxes: (P, 4), x1, y1, x2, y2 in pixels of the image.
        box_scores: (P,).
        areas: (P,), area of the enlarged box that the model sees, for the NMS of COCO's results.
        source: Where the frame is from.
        image: (H, W, 3) uint8 BGR; ``None`` unless it was asked for.
        image_id: COCO's id of the image, ``None`` if unknown.
        category_ids: P ids of the boxes' categories.
        track_ids: (P,), numbers of the persons in a video; ``None`` without tracking.
    """

    name: str
    index: int
    size: tuple[int, int]
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    areas: np.ndarray
    source: Source
    image: np.ndarray | None = None
    image_id: int | None = None
    category_ids: list[int] = field(default_factory=list)
    track_ids: np.ndarray | None = None


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
        use_one_thread_after_fork()
        cfg = read_config(config)
        init_default_scope(cfg.get("default_scope", "mmpose"))
        model_cfg = cfg.model.copy()
        model_cfg.test_cfg = dict(model_cfg.get("test_cfg") or {})
        self.cfg = cfg
        self.model = load_model(model_cfg, checkpoint, device)
        self.keypoint_scores = self._choose_scores(keypoint_scores)
        self.metainfo = dataset_meta_from_config(cfg, dataset_mode="test")
        if self.metainfo is None:
            raise UserError(
                "The config must name its keypoints in the metainfo of its test data, but names none: set it."
            )
        self._check_keypoints()
        sets = list_data_sets(cfg, "test_dataloader")
        if not sets:
            raise UserError(
                "The config must have a test_dataloader, whose pipeline crops the persons, but has none: set it."
            )
        self.pipeline = Compose(sets[0].steps)
        self.unreadable: list[Unreadable] = []
        self.unmatched = 0
        self.others: dict[str, int] = {}

    def _choose_scores(self, wanted: str) -> str:
        """Set the kind of keypoint scores of the model, and return it."""
        if isinstance(self.model.head, TFPoseHead):
            kind = self.model.head.choose_scores(wanted)
            self.model.test_cfg["keypoint_scores"] = kind
            return kind
        if wanted != "auto":
            raise UserError(
                f"A {type(self.model.head).__name__} has keypoint scores of its own, but got {wanted}: use auto."
            )
        return "own"

    def _check_keypoints(self) -> None:
        head = getattr(self.model.head, "num_joints", None) or getattr(self.model.head, "out_channels", None)
        number = self.metainfo["num_keypoints"]
        if isinstance(head, int) and head != number:
            raise UserError(
                f"The model predicts {head} keypoints, but the config's data have {number}: use its own config."
            )

    def __call__(
        self,
        inputs: str | Path | Sequence[str | Path],
        boxes: AnyBoxes = None,
        batch_size: int = BATCH_SIZE,
        keep_images: bool = False,
    ) -> Iterator[Prediction]:
        """Predict all persons of the inputs.

        Args:
            inputs: See :func:`find_sources`.
            boxes: Person boxes. ``None`` takes the whole image; a path is a json file, see :class:`FromFile`; a
                function gets an image (H, W, 3) uint8 BGR and returns boxes (P, 4) or (P, 5) as x1, y1, x2, y2 and
                score; or a :class:`FromDetector`.
            batch_size: Number of persons in a batch. They come from several images.
            keep_images: Whether predictions have their image.

        Yields:
            A prediction for each image and frame, in order, also for those without persons. ``unreadable`` has the
            files that could not be read, and ``unmatched`` the number of boxes of other images.

        Raises:
            UserError: If an input does not exist, or the boxes cannot be used.
        """
        return self.predict_sources(find_sources(inputs), boxes, batch_size, keep_images)

    def predict_sources(
        self,
        sources: Sequence[Source],
        boxes: AnyBoxes = None,
        batch_size: int = BATCH_SIZE,
        keep_images: bool = False,
    ) -> Iterator[Prediction]:
        """Predict all persons of sources that :func:`find_sources` found; see :meth:`__call__`."""
        provider = make_provider(boxes)
        self.unreadable, self.unmatched, self.others = [], 0, {}
        if isinstance(provider, FromArrays):
            provider.match(sources)
        if isinstance(provider, FromFile):
            self.unmatched = provider.match(sources, keypoint_names(self.metainfo))
            self.others = provider.others
        return self.predict_frames(read_frames(sources, self.unreadable), provider, batch_size, keep_images)

    def predict_frames(
        self, frames: Iterator[Frame], provider: BoxProvider, batch_size: int = BATCH_SIZE, keep_images: bool = False
    ) -> Iterator[Prediction]:
        """Predict all persons of frames; see :meth:`__call__`."""
        if batch_size < 1:
            raise UserError(f"The batch size must be at least 1, but got {batch_size}.")
        use_one_thread_after_fork()
        waiting: deque[_Waiting] = deque()  # frames whose persons are not all predicted
        batch: list[tuple[_Waiting, dict]] = []
        for frame in frames:
            boxes = provider(frame)
            entry = _Waiting(frame, boxes, provider.image_id(frame), keep_images)
            if hasattr(provider, "category_ids"):
                entry.category_ids = provider.category_ids(frame)
            waiting.append(entry)
            for box in boxes:
                batch.append((entry, self._prepare(frame, box)))
                if len(batch) == batch_size:
                    self._predict(batch)
                    batch = []
            while waiting and waiting[0].is_done():
                yield waiting.popleft().finish(self.metainfo["num_keypoints"])
        self._predict(batch)
        for entry in waiting:
            yield entry.finish(self.metainfo["num_keypoints"])

    def _prepare(self, frame: Frame, box: np.ndarray) -> dict:
        """Crop a person with the test pipeline of the config."""
        person = dict(img=frame.image, img_path=frame.source.name, bbox=box[None, :4], bbox_score=box[4:])
        return self.pipeline({**self.metainfo, **person})

    @torch.no_grad()
    def _predict(self, batch: list[tuple[_Waiting, dict]]) -> None:
        if batch:
            samples = self.model.test_step(pseudo_collate([data for _, data in batch]))
            for (entry, _), sample in zip(batch, samples):
                entry.samples.append(sample)


_PROCESS = os.getpid()


def use_one_thread_after_fork() -> None:
    """A forked process has no threads of torch and OpenCV; an operation with several would wait for them forever."""
    if os.getpid() != _PROCESS:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)


class _Waiting:
    """A frame and the samples of its persons that are predicted so far."""

    def __init__(self, frame: Frame, boxes: np.ndarray, image_id: int | None, keep_image: bool) -> None:
        height, width = frame.image.shape[:2]
        self.size = (width, height)
        self.source, self.index = frame.source, frame.index
        self.image = frame.image if keep_image else None
        self.boxes, self.image_id = boxes, image_id
        self.category_ids = [PERSON] * len(boxes)
        self.samples: list[PoseDataSample] = []

    def is_done(self) -> bool:
        return len(self.samples) == len(self.boxes)

    def finish(self, num_keypoints: int) -> Prediction:
        if self.samples:
            instances = [sample.pred_instances for sample in self.samples]
            keypoints = np.concatenate([np.asarray(person.keypoints) for person in instances])
            scores = np.concatenate([np.asarray(person.keypoint_scores) for person in instances])
            areas = np.array([np.prod(sample.gt_instances.bbox_scales) for sample in self.samples])
        else:
            keypoints, scores = np.zeros((0, num_keypoints, 2)), np.zeros((0, num_keypoints))
            areas = np.zeros(0)
        return Prediction(
            self.source.name,
            self.index,
            self.size,
            keypoints,
            scores,
            self.boxes[:, :4],
            self.boxes[:, 4],
            areas,
            self.source,
            self.image,
            self.image_id,
            self.category_ids,
        )
