"""Write predictions as they come: COCO's results, MMPose's json, CSV. Each file is complete at any time."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from mmpose.evaluation.functional import oks_nms

from ..datasets.config_data import keypoint_names
from .boxes import PERSON
from .predictor import Prediction

COCO = dict(keypoint_score_thr=0.2, nms_thr=0.9)  # MMPose's CocoMetric


class JsonList:
    """A json file with a list that grows: after each entry the file is valid json.

    Args:
        path: The file; it is replaced.
        before: Json text before the list.
        after: Json text after the list.
    """

    def __init__(self, path: Path, before: str = "", after: str = "") -> None:
        self.file = path.open("w", encoding="utf-8", newline="\n")
        self.after = f"\n]{after}\n"
        self.file.write(f"{before}[")
        self.end, self.first = self.file.tell(), True
        self.file.write(self.after)
        self.file.flush()

    def append(self, entry: dict) -> None:
        """Write an entry."""
        text = ("\n" if self.first else ",\n") + json.dumps(entry)
        self.file.seek(self.end)
        self.file.write(text + self.after)
        self.file.flush()
        self.end, self.first = self.end + len(text), False  # json.dumps writes ASCII only

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class PredictionWriter:
    """Write ``results.json`` (COCO), ``predictions.json`` (MMPose) and ``predictions.csv``.

    - COCO: a list with image_id, file_name, frame, category_id, keypoints (K x (x, y, score)), bbox (x, y, w, h) and
      score of each person, with the scores and the NMS of MMPose's ``CocoMetric``. An image without a known id has the
      number of the image among the inputs, from 1.
    - MMPose: ``meta_info`` and ``instance_info``, a list of all images and frames, as MMPose's demo scripts write it.
    - CSV: a row for each person; a row without person for an image or frame without persons.

    Args:
        folder: Where the files go; it is made.
        metainfo: MMPose's metainfo of the keypoints.
        coco: ``keypoint_score_thr`` and ``nms_thr`` of the config's ``CocoMetric``.
    """

    def __init__(self, folder: Path, metainfo: dict, coco: dict | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.metainfo = metainfo
        self.coco = {**COCO, **(coco or {})}
        self.names = keypoint_names(metainfo)
        self.results = JsonList(folder / "results.json")
        meta = json.dumps(metainfo, default=_to_json)
        self.predictions = JsonList(folder / "predictions.json", f'{{"meta_info": {meta},\n"instance_info": ', "}")
        self.table = (folder / "predictions.csv").open("w", encoding="utf-8", newline="")
        self.rows = csv.writer(self.table)
        columns = [f"{name}_{part}" for name in self.names for part in ("x", "y", "score")]
        self.rows.writerow(["image", "frame", "person", "track", "x1", "y1", "x2", "y2", "box_score", *columns])
        self.images = 0
        self.last_name: str | None = None

    def write(self, prediction: Prediction) -> None:
        """Write an image or frame to all files."""
        self.images += prediction.name != self.last_name
        self.last_name = prediction.name
        persons = [_instance(prediction, row) for row in range(len(prediction.boxes))]
        record = dict(image=prediction.name, frame_id=prediction.index, instances=persons)
        self.predictions.append(record)
        for row, person in enumerate(persons):
            points = np.column_stack([person["keypoints"], person["keypoint_scores"]]).reshape(-1)
            track = "" if prediction.track_ids is None else prediction.track_ids[row]
            numbers = [*person["bbox"], person["bbox_score"], *points]
            self.rows.writerow([prediction.name, prediction.index, row, track, *(f"{n:.4f}" for n in numbers)])
        if not persons:
            self.rows.writerow([prediction.name, prediction.index, *[""] * (7 + 3 * len(self.names))])
        self.table.flush()
        image_id = self.images if prediction.image_id is None else prediction.image_id
        for entry in coco_results(prediction, image_id, self.metainfo["sigmas"], **self.coco):
            self.results.append(entry)

    def close(self) -> None:
        """Close the files."""
        self.results.close()
        self.predictions.close()
        self.table.close()

    def __enter__(self) -> PredictionWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files, also after an error or an interruption."""
        self.close()


def coco_results(
    prediction: Prediction, image_id: int, sigmas: np.ndarray, keypoint_score_thr: float, nms_thr: float
) -> list[dict]:
    """COCO's results of an image, as MMPose's ``CocoMetric`` computes them.

    The score of a person is the score of its box times the mean of its keypoint scores above the threshold. Of persons
    whose OKS is above ``nms_thr`` the best is kept. A data set without sigmas has no OKS: then all are kept.

    Args:
        prediction: The prediction.
        image_id: COCO's id.
        sigmas: (K,), of OKS.
        keypoint_score_thr: The threshold.
        nms_thr: See above.

    Returns:
        The entries of COCO's result format.
    """
    persons: list[dict[str, Any]] = []
    for row in range(len(prediction.boxes)):
        scores = prediction.keypoint_scores[row]
        valid = scores[scores > keypoint_score_thr]
        score = float(prediction.box_scores[row] * (valid.mean() if len(valid) else 0))
        points = np.column_stack([prediction.keypoints[row], scores])
        persons.append(dict(keypoints=points, score=score, area=prediction.areas[row], row=row))
    kept = range(len(persons))
    if persons and len(sigmas):
        kept = oks_nms(persons, nms_thr, sigmas=np.asarray(sigmas))
    entries = []
    for person in (persons[index] for index in kept):
        x1, y1, x2, y2 = _rounded(prediction.boxes[person["row"]])
        entries.append(
            dict(
                image_id=image_id,
                file_name=prediction.name,
                frame=prediction.index,
                category_id=prediction.category_ids[person["row"]] if prediction.category_ids else PERSON,
                keypoints=_rounded(person["keypoints"].reshape(-1)),
                bbox=_rounded(np.array([x1, y1, x2 - x1, y2 - y1])),
                score=person["score"],
            )
        )
    return entries


def _instance(prediction: Prediction, row: int) -> dict:
    person = dict(
        keypoints=_rounded(prediction.keypoints[row]),
        keypoint_scores=_rounded(prediction.keypoint_scores[row]),
        bbox=_rounded(prediction.boxes[row]),
        bbox_score=_rounded(prediction.box_scores[row]),
    )
    return person if prediction.track_ids is None else dict(person, track_id=int(prediction.track_ids[row]))


def _rounded(values: np.ndarray) -> Any:  # noqa: ANN401 - a list, or a number of an array without axes
    """To 0.00001: of a pixel, and of a score."""
    return np.round(np.asarray(values, dtype=float), 5).tolist()


def _to_json(value: np.ndarray) -> list:
    return value.tolist()
