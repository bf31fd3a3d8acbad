"""One sheet with many instances, each with its annotation beside its prediction."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ..errors import UserError
from ..evaluation.error_kinds import EvaluatedPerson


def draw_contact_sheet(
    persons: Sequence[EvaluatedPerson], metainfo: dict, columns: int = 6, cell: tuple[int, int] = (144, 192)
) -> np.ndarray:
    """Draw each person twice: the annotation on the left, the prediction on the right.

    Args:
        persons: The persons.
        metainfo: The data set's metainfo: skeleton links, colours, names.
        columns: Number of pairs per row.
        cell: Width and height of one picture, in pixels.

    Returns:
        The sheet, (H, W, 3) uint8 BGR.

    Raises:
        UserError: If there are no persons, or an image is missing.
    """
    if not persons:
        raise UserError("A contact sheet needs at least one person, but got none: check the annotation file.")
    columns = min(columns, len(persons))
    pairs = [draw_pair(person, metainfo, cell) for person in persons]
    pairs = [cv2.copyMakeBorder(pair, 0, 4, 0, 8, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for pair in pairs]
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % columns)
    header = np.full((22, pairs[0].shape[1], 3), 255, dtype=np.uint8)
    for index, title in enumerate(("annotated", "predicted")):
        place = (index * cell[0] + 4, 15)
        cv2.putText(header, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    rows = [[header] * columns, *(pairs[start : start + columns] for start in range(0, len(pairs), columns))]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def draw_pair(
    person: EvaluatedPerson, metainfo: dict, cell: tuple[int, int], marks: Sequence[tuple[int, str]] = ()
) -> np.ndarray:
    """Draw a person twice: the annotation on the left, the prediction on the right.

    Args:
        person: The person. Keypoints that are not annotated are not drawn on the left.
        metainfo: The data set's metainfo: skeleton links, colours, names.
        cell: Width and height of one picture, in pixels. It shows the box enlarged by a quarter.
        marks: Predicted keypoints that get a ring, each with its colour #rrggbb.

    Returns:
        The pair, (height, 2 * width, 3) uint8 BGR.

    Raises:
        UserError: If the image is missing.
    """
    image = cv2.imread(person.image_path)
    if image is None:
        raise UserError(
            f"The image {person.image_path} is missing or cannot be read: check the data set's data_prefix."
        )
    sides, size = np.maximum(1.25 * (person.box[2:] - person.box[:2]), 1), np.array(cell, dtype=float)
    scale = float((size / sides).min())
    shift = size / 2 - scale * (person.box[:2] + person.box[2:]) / 2  # puts the centre of the box in the middle
    matrix = np.column_stack([scale * np.eye(2), shift])
    crop = cv2.warpAffine(image, matrix, cell, flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    target, points = (
        cv2.transform(np.asarray(p, dtype=float)[None], matrix) for p in (person.target, person.keypoints)
    )
    drawn = PoseDataSample()
    visible = np.asarray(person.labelled, dtype=np.float32)[None]
    drawn.gt_instances = InstanceData(keypoints=target, keypoints_visible=visible)
    drawn.pred_instances = InstanceData(keypoints=points, keypoints_visible=np.ones_like(visible))
    visualizer = PoseLocalVisualizer(radius=2, line_width=2)
    visualizer.set_dataset_meta(metainfo)
    pair = visualizer.add_datasample("", crop[..., ::-1], drawn, draw_bbox=False, draw_heatmap=False, kpt_thr=0.3)
    pair = np.ascontiguousarray(pair[..., ::-1])
    right = pair[:, cell[0] :]
    for index, colour in marks:
        centre = tuple(int(value) for value in points[0, index].round())
        bgr = tuple(bytes.fromhex(colour[1:])[::-1])
        cv2.circle(right, centre, 8, (255, 255, 255), 4, cv2.LINE_AA)
        cv2.circle(right, centre, 8, bgr, 2, cv2.LINE_AA)
    return pair
