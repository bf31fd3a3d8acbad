"""A whole image: background, people, objects in front of them, blur, exposure and noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .canvas import OBJECT, Canvas
from .levels import Level
from .person import Person, sample_outfit
from .skeleton import sample_joints

_MIN_VISIBLE = 0.45  # visible fraction that each person must have, or the scene is drawn again
_MIN_LABELLED = 6  # keypoints that each person must have
_ATTEMPTS = 100


class Annotation(NamedTuple):
    """Annotation of one person, as in COCO.

    Args:
        keypoints: (17, 3), (x, y) in pixels and visibility 0, 1 or 2; (0, 0, 0) if not labelled.
        mask: (H, W) bool, the pixels that show the person.
    """

    keypoints: np.ndarray
    mask: np.ndarray


def draw_scene(rng: np.random.Generator, level: Level, num_people: int = 1) -> tuple[np.ndarray, list[Annotation]]:
    """Draw an image of people.

    Args:
        rng: Random number generator; the same state gives the same image.
        level: Difficulty.
        num_people: Number of people to draw, 1 or more.

    Returns:
        The image (H, W, 3) uint8 BGR, and an annotation for each person.

    Raises:
        RuntimeError: If a person is hidden in all attempts; this does not happen with the levels in ``LEVELS``.
    """
    for _ in range(_ATTEMPTS):
        canvas = Canvas(_background(rng, level))
        people = _place_people(rng, level, canvas, num_people)
        whole = []
        for person in people:
            person.draw(canvas)
            whole.append(int(person.mask(canvas).sum()))
        for _ in range(int(rng.integers(level.occluders[0], level.occluders[1] + 1))):
            _draw_occluder(rng, canvas, people[rng.integers(len(people))])
        annotations = [_annotate(person, canvas) for person in people]
        if all(
            a.mask.sum() >= _MIN_VISIBLE * size and (a.keypoints[:, 2] > 0).sum() >= _MIN_LABELLED
            for a, size in zip(annotations, whole)
        ):
            return _add_camera_effects(rng, level, canvas.image), annotations
    raise RuntimeError(
        f"In each of {_ATTEMPTS} attempts to draw {num_people} people, too little of a person was visible: reduce "
        f"people, occluders or truncation of {level}."
    )


def _background(rng: np.random.Generator, level: Level) -> np.ndarray:
    height = int(rng.integers(level.image_height[0], level.image_height[1] + 1))
    width = int(height * rng.uniform(0.8, 1.3))
    tone = rng.uniform(40, 215) + rng.normal(0, 25, 3)
    coarse = tone + rng.normal(0, 30, (4, 4, 1)) + rng.normal(0, 10, (4, 4, 3))
    image = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = Canvas(np.clip(image, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(level.clutter[0], level.clutter[1] + 1))):
        colour = tuple(map(float, rng.uniform(0, 255, 3)))
        centre = rng.uniform(0, 1, 2) * (width, height)
        size = height * rng.uniform(0.02, 0.15)
        corners = centre + rng.normal(0, 1, (int(rng.integers(1, 5)), 2)) * size
        if rng.random() < 0.3:
            canvas.line([centre, centre + rng.normal(0, 2, 2) * size], colour, height * rng.uniform(0.005, 0.03))
        else:
            canvas.hull(corners, size * rng.uniform(0.1, 0.6), colour)
    return canvas.image


def _place_people(rng: np.random.Generator, level: Level, canvas: Canvas, count: int) -> list[Person]:
    """Place people from far to near; each is inside the image unless it is truncated."""
    height, width = canvas.owner.shape
    people = []
    for index in range(1, count + 1):
        joints = sample_joints(rng, level)
        points = np.stack([point[:2] for name, point in joints.items() if name not in ("facing", "gaze")])
        low, high = points.min(0) - 0.07, points.max(0) + 0.07
        room = np.array([width, height]) / (high - low)  # body heights in pixels at which the person fills the image
        body = min(height * rng.uniform(*level.body_size), room.min())
        slack = np.array([width, height]) - body * (high - low)
        corner = rng.uniform(0, 1, 2) * slack
        if rng.random() < level.truncation:
            corner += rng.uniform(-0.3, 0.3, 2) * body * (high - low)
        x, y = rng.integers(width), rng.integers(height)
        outfit = sample_outfit(rng, level, tuple(float(channel) for channel in canvas.image[y, x]))
        people.append(Person(joints, outfit, body, tuple(corner - body * low), index))
    return people


def _draw_occluder(rng: np.random.Generator, canvas: Canvas, person: Person) -> None:
    """Draw a shape in front of a random keypoint of the person."""
    target = person.keypoints[rng.integers(len(person.keypoints))] + rng.normal(0, 0.03, 2) * person.height
    size = person.height * rng.uniform(0.03, 0.09)
    colour = tuple(map(float, rng.uniform(0, 255, 3)))
    corners = target + rng.normal(0, 1, (int(rng.integers(1, 5)), 2)) * size
    canvas.hull(corners, size * rng.uniform(0.3, 0.8), colour, OBJECT)


def _annotate(person: Person, canvas: Canvas) -> Annotation:
    visibility = person.visibility(canvas)
    keypoints = np.concatenate([person.keypoints, visibility[:, None]], axis=1)
    keypoints[visibility == 0] = 0
    return Annotation(keypoints, person.mask(canvas))


def _add_camera_effects(rng: np.random.Generator, level: Level, image: np.ndarray) -> np.ndarray:
    """Add blur, exposure and noise."""
    sigma = rng.uniform(0, level.blur)
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    exposed = 255 * (image.astype(np.float32) / 255) ** rng.uniform(*level.gamma)
    noise = rng.normal(0, rng.uniform(*level.noise), image.shape)
    return np.clip(exposed + noise, 0, 255).astype(np.uint8)
