"""A whole image: background, a person, perhaps an object in front, blur, exposure and noise."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import OBJECT, Canvas
from .person import Person, sample_outfit
from .skeleton import sample_joints

_MIN_VISIBLE = 0.45  # visible fraction that a person must have, or the scene is drawn again
_MIN_LABELLED = 6  # keypoints that a person must have


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a person; the same state of ``rng`` gives the same image.

    Returns:
        The image (H, W, 3) uint8 BGR; the keypoints (17, 3), (x, y) in pixels and visibility 0, 1 or 2, (0, 0, 0) if
        not labelled; and the pixels that show the person, (H, W) bool.
    """
    while True:
        canvas = Canvas(_background(rng))
        person = _place_person(rng, canvas)
        person.draw(canvas)
        whole = int((canvas.owner > OBJECT).sum())
        for _ in range(int(rng.integers(0, 2))):
            rng.integers(1)  # not used: the images stay those of earlier versions
            _draw_occluder(rng, canvas, person)
        visibility, mask = person.visibility(canvas), canvas.owner > OBJECT
        if mask.sum() >= _MIN_VISIBLE * whole and (visibility > 0).sum() >= _MIN_LABELLED:
            keypoints = np.concatenate([person.keypoints, visibility[:, None]], axis=1)
            keypoints[visibility == 0] = 0
            return _add_camera_effects(rng, canvas.image), keypoints, mask


def _background(rng: np.random.Generator) -> np.ndarray:
    height = int(rng.integers(176, 241))
    width = int(height * rng.uniform(0.8, 1.3))
    tone = rng.uniform(40, 215) + rng.normal(0, 25, 3)
    coarse = tone + rng.normal(0, 30, (4, 4, 1)) + rng.normal(0, 10, (4, 4, 3))
    image = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = Canvas(np.clip(image, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(3, 9))):
        colour = tuple(map(float, rng.uniform(0, 255, 3)))
        centre = rng.uniform(0, 1, 2) * (width, height)
        size = height * rng.uniform(0.02, 0.15)
        corners = centre + rng.normal(0, 1, (int(rng.integers(1, 5)), 2)) * size
        if rng.random() < 0.3:
            canvas.line([centre, centre + rng.normal(0, 2, 2) * size], colour, height * rng.uniform(0.005, 0.03))
        else:
            canvas.hull(corners, size * rng.uniform(0.1, 0.6), colour)
    return canvas.image


def _place_person(rng: np.random.Generator, canvas: Canvas) -> Person:
    height, width = canvas.owner.shape
    joints = sample_joints(rng)
    points = np.stack([point[:2] for name, point in joints.items() if name not in ("facing", "gaze")])
    low, high = points.min(0) - 0.07, points.max(0) + 0.07
    room = np.array([width, height]) / (high - low)  # body heights in pixels at which the person fills the image
    body = min(height * rng.uniform(0.65, 0.92), room.min())
    corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - body * (high - low))
    rng.random(), rng.integers(width), rng.integers(height)  # not used: the images stay those of earlier versions
    return Person(joints, sample_outfit(rng), body, tuple(corner - body * low))


def _draw_occluder(rng: np.random.Generator, canvas: Canvas, person: Person) -> None:
    """Draw a shape in front of a random keypoint of the person."""
    target = person.keypoints[rng.integers(len(person.keypoints))] + rng.normal(0, 0.03, 2) * person.height
    size = person.height * rng.uniform(0.03, 0.09)
    colour = tuple(map(float, rng.uniform(0, 255, 3)))
    corners = target + rng.normal(0, 1, (int(rng.integers(1, 5)), 2)) * size
    canvas.hull(corners, size * rng.uniform(0.3, 0.8), colour, OBJECT)


def _add_camera_effects(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    sigma = rng.uniform(0, 0.5)
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    exposed = 255 * (image.astype(np.float32) / 255) ** rng.uniform(0.85, 1.2)
    noise = rng.normal(0, rng.uniform(1, 6), image.shape)
    return np.clip(exposed + noise, 0, 255).astype(np.uint8)
