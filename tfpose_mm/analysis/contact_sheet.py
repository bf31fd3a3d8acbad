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

_MARGIN = 1.25  # factor that enlarges the box of each instance
_HEADER = 22  # pixels
_GAP = 4  # pixels
_INK, _PAPER = (40, 40, 40), 255


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
    pairs = [draw_pair(p.image_path, p.box, p.target, p.labelled, p.keypoints, metainfo, cell) for p in persons]
    pairs = [cv2.copyMakeBorder(pair, 0, _GAP, 0, 2 * _GAP, cv2.BORDER_CONSTANT, value=(_PAPER,) * 3) for pair in pairs]
    columns = min(columns, len(pairs))
    pairs += [np.full_like(pairs[0], _PAPER)] * (-len(pairs) % columns)
    rows = [np.concatenate(pairs[start : start + columns], axis=1) for start in range(0, len(pairs), columns)]
    return np.concatenate([_header(columns, cell), *rows])


def draw_pair(
    image_path: str,
    box: np.ndarray,
    target: np.ndarray,
    labelled: np.ndarray,
    predicted: np.ndarray,
    metainfo: dict,
    cell: tuple[int, int],
    marks: Sequence[tuple[int, Sequence[int]]] = (),
) -> np.ndarray:
    """Draw a person twice: the annotation on the left, the prediction on the right.

    Args:
        image_path: The image.
        box: (4,), the person's box as x1, y1, x2, y2 in pixels of the image; a margin around it is shown, too.
        target: (K, 2), annotated keypoints (x, y) in pixels of the image.
        labelled: (K,), whether a keypoint is annotated; others are not drawn on the left.
        predicted: (K, 2), predicted keypoints.
        metainfo: The data set's metainfo: skeleton links, colours, names.
        cell: Width and height of one picture, in pixels.
        marks: Predicted keypoints that get a ring, each with its colour (B, G, R).

    Returns:
        The pair, (height, 2 * width, 3) uint8 BGR.

    Raises:
        UserError: If the image is missing.
    """
    image = cv2.imread(image_path)
    if image is None:
        raise UserError(f"The image {image_path} is missing or cannot be read: check the data set's data_prefix.")
    matrix = _crop_matrix(box, cell)
    crop = cv2.warpAffine(image, matrix, cell, flags=cv2.INTER_CUBIC, borderValue=(_PAPER,) * 3)
    visualizer = PoseLocalVisualizer(radius=2, line_width=2)
    visualizer.set_dataset_meta(metainfo)
    points = cv2.transform(np.asarray(predicted, dtype=np.float64)[None], matrix)
    drawn = PoseDataSample()
    drawn.gt_instances = InstanceData(
        keypoints=cv2.transform(np.asarray(target, dtype=np.float64)[None], matrix),
        keypoints_visible=np.asarray(labelled, dtype=np.float32)[None],
    )
    drawn.pred_instances = InstanceData(keypoints=points, keypoints_visible=np.ones(points.shape[:2], dtype=np.float32))
    rgb = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
    pair = visualizer.add_datasample("", rgb, drawn, draw_bbox=False, draw_heatmap=False, kpt_thr=0.3)
    pair = cv2.cvtColor(pair, cv2.COLOR_RGB2BGR)
    right = pair[:, cell[0] :]
    for index, colour in marks:
        centre = tuple(int(value) for value in points[0, index].round())
        cv2.circle(right, centre, 8, (255, 255, 255), 4, cv2.LINE_AA)
        cv2.circle(right, centre, 8, colour, 2, cv2.LINE_AA)
    return pair


def _crop_matrix(box: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Affine matrix (2, 3) that scales the enlarged box to the cell and centres it."""
    size = np.array(cell, dtype=np.float64)
    scale = float((size / np.maximum(_MARGIN * (box[2:] - box[:2]), 1)).min())
    shift = size / 2 - scale * (box[:2] + box[2:]) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _header(columns: int, cell: tuple[int, int]) -> np.ndarray:
    """Draw the titles above each column of pairs."""
    pair = np.full((_HEADER, 2 * cell[0] + 2 * _GAP, 3), _PAPER, dtype=np.uint8)
    for index, title in enumerate(("annotated", "predicted")):
        cv2.putText(
            pair, title, (index * cell[0] + 4, _HEADER - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA
        )
    return np.concatenate([pair] * columns, axis=1)
