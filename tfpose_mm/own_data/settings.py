"""Choose input size, schedule and augmentation for the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .keypoint_names import Keypoint
from .layouts import Part, box_of

# The sides of a box that gets a square input differ by at most this factor: between 256 x 256 and 256 x 192.
SQUARE = math.sqrt(256 / 192)
# Up to this number of instances: batch size and epochs. Small data need more epochs, and small batches for more steps.
SCHEDULES = ((1000, 16, 210), (10_000, 32, 140), (math.inf, 64, 100))
BASE_LR, BASE_BATCH_SIZE = 4e-3, 512  # the paper's recipe
MIN_KEYPOINTS = 8  # for half-body augmentation


class Settings(NamedTuple):
    """What depends on the keypoints, the boxes and the number of instances."""

    instances: int  # for training
    aspect: float  # median width of a box relative to its height
    input_size: tuple[int, int]  # (w, h) in pixels
    batch_size: int
    epochs: int
    warmup: int  # in iterations
    lr: float  # of the backbone; the transformer has a tenth of it
    flips: bool  # whether to flip images: not if the partner of a keypoint is not known
    half_bodies: bool  # whether to use RandomHalfBody

    def describe(self) -> list[str]:
        """The settings and their rules, a line each."""
        flips = "yes" if self.flips else "no, the partner of a keypoint is not known"
        needed = f"no, it needs {MIN_KEYPOINTS} keypoints or more, each of the upper or the lower body"
        half_bodies = "yes" if self.half_bodies else needed
        return [
            f"flip augmentation and flip test: {flips}",
            f"half-body augmentation: {half_bodies}",
            f"input size (w x h): {'{}x{}'.format(*self.input_size)}; the median box has w / h = {self.aspect:.2f}",
            f"schedule for {self.instances} instances: batch size {self.batch_size}, {self.epochs} epochs, warm-up "
            f"{self.warmup} iterations (5 % of the iterations, at most 500)",
            f"learning rate: {self.lr} = {BASE_LR} x sqrt({self.batch_size} / {BASE_BATCH_SIZE}); a tenth of it for "
            "the transformer",
        ]


def choose_settings(part: Part, keypoints: Sequence[Keypoint]) -> Settings:
    """Choose the settings for the training data."""
    rows = [row for row in part.content["annotations"] if row["num_keypoints"] and not row["iscrowd"]]
    sizes = np.array([box[2:] for box in map(box_of, rows) if box and box[2] > 0 and box[3] > 0]).reshape(-1, 2)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1])) if len(sizes) else 1.0
    input_size = (192, 256) if aspect < 1 / SQUARE else (256, 192) if aspect > SQUARE else (256, 256)
    batch_size, epochs = next((batch, epochs) for limit, batch, epochs in SCHEDULES if len(rows) <= limit)
    iterations = epochs * math.ceil(len(rows) / batch_size)
    lr = float(f"{BASE_LR * math.sqrt(batch_size / BASE_BATCH_SIZE):.2g}")
    halves = [keypoint.half for keypoint in keypoints]
    enough = halves.count("upper") >= 2 and halves.count("lower") >= 3  # the defaults of RandomHalfBody
    return Settings(
        instances=len(rows),
        aspect=aspect,
        input_size=input_size,
        batch_size=batch_size,
        epochs=epochs,
        warmup=max(1, min(500, iterations // 20)),
        lr=lr,
        flips=not any(keypoint.doubt and not keypoint.swap for keypoint in keypoints),
        half_bodies=all(halves) and enough and len(halves) >= MIN_KEYPOINTS,
    )
