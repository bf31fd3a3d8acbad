"""Write predictions as they come: COCO's results and MMPose's json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mmpose.evaluation.functional import oks_nms, soft_oks_nms

from .predictor import Prediction

# defaults of MMPose's CocoMetric
COCO = dict(score_mode="bbox_keypoint", keypoint_score_thr=0.2, nms_mode="oks_nms", nms_thr=0.9)


class PredictionWriter:
    """Write ``results.json`` (COCO) and ``predictions.json``, as MMPose's demo scripts; :meth:`close` completes them.

    ``coco`` is the config's ``CocoMetric``. An image without an id has its number among the inputs, from 1.
    """

    def __init__(self, folder: Path, metainfo: dict, coco: dict) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sigmas = metainfo["sigmas"]
        self.coco = {name: coco.get(name, value) for name, value in COCO.items()}
        meta = json.dumps(metainfo, default=np.ndarray.tolist)
        self.results = _JsonList(folder / "results.json", "[", "]")
        self.predictions = _JsonList(folder / "predictions.json", f'{{"meta_info": {meta},\n"instance_info": [', "]}")
        self.images = 0
        self.last_name: str | None = None

    def write(self, prediction: Prediction) -> None:
        """Write an image or frame to both files."""
        self.images += prediction.name != self.last_name
        self.last_name = prediction.name
        image_id = self.images if prediction.image_id is None else prediction.image_id
        record = dict(image=prediction.name, frame_id=prediction.index, instances=_instances(prediction))
        results = map(json.dumps, coco_results(prediction, image_id, self.sigmas, **self.coco))
        texts = json.dumps(record), ",\n".join(results)
        self.predictions.add(texts[0])  # both at once, so that Ctrl-C does not come in between
        self.results.add(texts[1])

    def close(self) -> None:
        """Complete the files."""
        self.results.close()
        self.predictions.close()


class _JsonList:
    """A json file with a list that grows; it is valid json after :meth:`close`."""

    def __init__(self, path: Path, before: str, after: str) -> None:
        self.file = path.open("w", encoding="utf-8", newline="\n")
        self.file.write(before)
        self.after, self.separator = after, "\n"

    def add(self, entries: str) -> None:
        if entries:
            self.file.write(self.separator + entries)
            self.separator = ",\n"

    def close(self) -> None:
        with self.file:
            self.file.write(f"\n{self.after}\n")


def coco_results(
    prediction: Prediction,
    image_id: int,
    sigmas: np.ndarray,
    score_mode: str,
    keypoint_score_thr: float,
    nms_mode: str,
    nms_thr: float,
) -> list[dict]:
    """Entries of COCO's result format for an image, as MMPose's ``CocoMetric`` with these arguments computes them.

    By default the score of a person is the score of its box times the mean of its keypoint scores above
    ``keypoint_score_thr``, and of persons whose OKS is above ``nms_thr`` the best is kept. A data set without sigmas
    (K,) has no OKS: all are kept.
    """
    points = np.concatenate([prediction.keypoints, prediction.keypoint_scores[..., None]], axis=-1)  # (P, K, 3)
    scores = [
        float(_score(score_mode, box, keypoints, keypoint_score_thr))
        for box, keypoints in zip(prediction.box_scores, prediction.keypoint_scores)
    ]
    kept = range(len(points))
    if len(points) and len(sigmas) and nms_mode != "none":
        persons = [dict(keypoints=p, score=s, area=a) for p, s, a in zip(points, scores, prediction.areas)]
        suppress = oks_nms if nms_mode == "oks_nms" else soft_oks_nms
        kept = suppress(persons, nms_thr, sigmas=np.asarray(sigmas))
    corners = np.round(prediction.boxes.astype(float), 5)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return [
        dict(
            image_id=image_id,
            file_name=prediction.name,
            frame=prediction.index,
            category_id=prediction.category_ids[row],
            keypoints=_rounded(points[row].reshape(-1)),
            bbox=_rounded(boxes[row]),
            score=scores[row],
        )
        for row in kept
    ]


def _score(mode: str, box: float, keypoints: np.ndarray, threshold: float) -> float:
    """The score of a person, from those of its box and of its keypoints (K,)."""
    if mode == "bbox":
        return box
    if mode == "keypoint":
        return keypoints.mean()
    if mode == "bbox_rle":
        return box + keypoints.mean() + keypoints.max()
    valid = keypoints[keypoints > threshold]
    return box * valid.mean() if len(valid) else 0.0


def _instances(prediction: Prediction) -> list[dict]:
    fields = dict(
        keypoints=_rounded(prediction.keypoints),
        keypoint_scores=_rounded(prediction.keypoint_scores),
        bbox=_rounded(prediction.boxes),
        bbox_score=_rounded(prediction.box_scores),
    )
    if prediction.track_ids is not None:
        fields["track_id"] = prediction.track_ids.tolist()
    return [dict(zip(fields, values)) for values in zip(*fields.values())]


def _rounded(values: np.ndarray) -> list:
    """To 0.00001: of a pixel, and of a score."""
    return np.round(values.astype(float), 5).tolist()
