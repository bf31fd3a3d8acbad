"""Compare an exported model with torch, from image and box to keypoints in the image."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.datasets import CocoDataset

from ..datasets.config_data import build_annotated_data
from ..datasets.synthetic import write_dataset
from ..errors import UserError
from ..inference import Predictor
from .runner import PoseRunner

PERSONS = 32
BATCHES = (1, 5)  # sizes that differ from the traced one
VARIATION = 5.0  # pixels of the input

# an image (H, W, 3) uint8 BGR with a box (4,), x1, y1, x2, y2 in pixels
Person = tuple[np.ndarray, np.ndarray]


class Parity(NamedTuple):
    """How an engine differs from torch.

    Attributes:
        engine: Name and version.
        keypoints: Largest distance of a keypoint, in pixels of the image.
        scores: Largest difference of a score.
    """

    engine: str
    keypoints: float
    scores: float


def find_persons(cfg: Config) -> tuple[list[Person], str]:
    """Persons of different images of the test data, or synthetic ones if these are too few; and where they are from."""
    data_cfg = cfg.test_dataloader.dataset
    if Path(data_cfg.get("data_root") or "", data_cfg.get("ann_file") or "missing").is_file():
        with contextlib.suppress(UserError):  # CheckedCocoDataset refuses faulty rows and missing images
            persons = _one_of_each_image(build_annotated_data(cfg), PERSONS)
            if len(persons) == PERSONS:
                return persons, "of the config's test data"
    return _drawn(PERSONS), f"of synthetic images, because fewer than {PERSONS} images of the test data can be read"


def _one_of_each_image(data: BaseDataset, number: int) -> list[Person]:
    persons: dict[str, Person] = {}
    for index in np.unique(np.linspace(0, len(data) - 1, 4 * number).astype(int)):
        info = data.get_data_info(int(index))
        image = None if info["img_path"] in persons else cv2.imread(info["img_path"])
        if image is not None and len(persons) < number:
            persons[info["img_path"]] = (image, info["bbox"][0, :4])
    return list(persons.values())


def _drawn(number: int) -> list[Person]:
    """Persons of synthetic images."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder) / "people", train=0, val=number)
        files = dict(ann_file="annotations/person_keypoints_val.json", data_prefix=dict(img="val"))
        return _one_of_each_image(CocoDataset(data_root=f"{folder}/people", test_mode=True, **files), number)


class Reference(NamedTuple):
    """What torch predicts for P persons.

    Attributes:
        keypoints: (P, K, 2), in pixels of the image.
        scores: (P, K).
        variation: Largest distance between two persons' predictions of a keypoint, in pixels of the input.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    variation: float


@torch.no_grad()
def predict_with_torch(predictor: Predictor, persons: Sequence[Person]) -> Reference:
    """Predict persons one by one, with the pipeline and the model of a config."""
    keypoints, scores, in_input = [], [], []
    for image, box in persons:
        data = dict(img=image, img_path="", bbox=box[None], bbox_score=np.ones(1, np.float32))
        packed = predictor.pipeline({**predictor.metainfo, **data})
        sample = predictor.model.test_step(pseudo_collate([packed]))[0]
        keypoints.append(np.asarray(sample.pred_instances.keypoints[0]))
        scores.append(np.asarray(sample.pred_instances.keypoint_scores[0]))
        corner = sample.input_center - 0.5 * sample.input_scale
        in_input.append((keypoints[-1] - corner) / sample.input_scale * sample.input_size)
    variation = np.linalg.norm(np.ptp(in_input, axis=0), axis=-1).max()
    return Reference(np.array(keypoints), np.array(scores), float(variation))


def compare_with_torch(runner: PoseRunner, engine: str, persons: Sequence[Person], reference: Reference) -> Parity:
    """Compare a runner with what torch predicts for the same persons, in batches of several sizes."""
    differences, score_differences = [0.0], [0.0]
    for index, (image, box) in enumerate(persons):
        got, got_scores = runner(image, np.tile(box, (BATCHES[index % len(BATCHES)], 1)))
        differences.append(np.linalg.norm(got - reference.keypoints[index], axis=-1).max())
        score_differences.append(np.abs(got_scores - reference.scores[index]).max())
    return Parity(engine, float(np.max(differences)), float(np.max(score_differences)))
