"""Numbers and cases of the report."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ..comparison.complexity import count_complexity
from ..comparison.latency import PARTS, time_parts
from ..datasets.config_data import input_size, keypoint_names
from ..engine import sha256
from ..evaluation import ERROR_KINDS, EvaluatedPerson
from .error_analysis import EvaluatedModel
from .recording import Recording

# colour-blind safe (Okabe and Ito)
COLOURS = dict(zip(ERROR_KINDS, ("#009e73", "#f0e442", "#d55e00", "#cc79a7", "#3d4852")))
CELL = (240, 320)  # width and height of a case's picture, in pixels
BATCHES, ROUNDS = (1, 8), 10  # of the latency


def keypoint_rows(result: EvaluatedModel) -> dict[str, dict[str, float | None]]:
    """Errors of each keypoint by name, and of ``"all"`` annotated keypoints.

    These are the ``number`` of annotations, PCK, and with sigmas ``similarity``, its mean, and the number of errors of
    each kind. ``None`` without annotations.
    """
    errors, rows = result.errors, {}
    names = keypoint_names(result.metainfo)
    for name, index in [*((name, [index]) for index, name in enumerate(names)), ("all", slice(None))]:
        labelled = errors.labelled[:, index]
        values: dict = {f"PCK@{t}": errors.distance[:, index][labelled] < t for t in (0.05, 0.1, 0.2)}
        if errors.similarity is not None and errors.kinds is not None:
            values["similarity"] = errors.similarity[:, index][labelled]
        rows[name] = dict(number=int(labelled.sum()))
        rows[name].update({column: float(of.mean()) if of.size else None for column, of in values.items()})
        if errors.kinds is not None:
            rows[name].update({kind: int((errors.kinds[:, index] == k).sum()) for k, kind in enumerate(ERROR_KINDS)})
    return rows


def format_cells(values: Mapping[str, float | None], names: Sequence[str], digits: int = 3, factor: float = 1) -> list:
    """The texts of some values of a row, each times a factor."""
    return ["-" if value is None else f"{factor * value:.{digits}f}" for value in (values[name] for name in names)]


def layer_rows(recording: Recording) -> list[list[str]]:
    """Name, PCK for the thresholds, mean error: of each decoder layer, of the heat maps, of layers that start there."""
    rows, kinds = [], dict(layers="y_{}")
    if recording.heatmaps:
        kinds.update(
            heatmaps="maxima of the auxiliary heat maps", from_heatmaps="y_{} of the decoder that starts there"
        )
    for kind, name in kinds.items():
        for layer, (pck, errors) in enumerate(zip(recording.pck(kind), recording.mean_distance(kind))):
            if layer or kind != "from_heatmaps":
                rows.append([name.format(layer), *(f"{value:.3f}" for value in (*pck, np.nanmean(errors)))])
    return rows


def collect_numbers(result: EvaluatedModel) -> dict:
    """The numbers of a report, for JSON.

    ``metrics``, ``metrics_detected_boxes``, ``instances``; ``keypoints``, see :func:`keypoint_rows`. For a
    ``TFPoseHead``, ``layers`` has PCK@0.2 and K mean errors for y_0 .. y_{N_D}, as fractions of the longer side of the
    box; ``diagnosis`` is that of :meth:`Recording.diagnose`. ``None`` replaces NaN.
    """
    numbers: dict = dict(metrics=result.metrics, metrics_detected_boxes=result.detected, instances=len(result.persons))
    numbers["keypoints"] = keypoint_rows(result)
    del numbers["keypoints"]["all"]
    recording = result.recording
    if recording is not None:
        distances = np.where(np.isnan(recording.mean_distance()), None, recording.mean_distance()).tolist()
        numbers["layers"] = [
            {"layer": layer, "PCK@0.2": float(pck), "errors": errors}
            for layer, (pck, errors) in enumerate(zip(recording.pck()[:, 0], distances))
        ]
        numbers["diagnosis"] = recording.diagnose()
    return numbers


def measure_cost(cfg: Config, model: BaseModel, checkpoint: str | Path, device: str) -> tuple[dict, dict]:
    """Parameters, GFLOPs, hash of the file and latency; and for each part of the model the timings of both batch sizes.

    The model is moved to the device where the latency is measured.
    """
    width, height = input_size(cfg)
    complexity = count_complexity(model, (height, width))
    model = model.to(device)
    timings = {batch: time_parts([model], [(height, width)], batch, ROUNDS, device)[0] for batch in BATCHES}
    numbers = dict(
        parameters_million=complexity.params,
        gflops=complexity.gflops,
        checkpoint_sha256=sha256(Path(checkpoint)),
        latency_ms={batch: 1e3 * timing["total"].median for batch, timing in timings.items()},
    )
    parts = [part for part in (*PARTS, "total") if part in timings[1]]
    return numbers, {part: [of[part] for of in timings.values()] for part in parts}


def find_cases(result: EvaluatedModel, number: int) -> tuple[int, dict[str, list[int]]]:
    """Find a number of worst and of best cases, and half as many, at least one, with the most inversions and swaps.

    Returns the number of annotated keypoints that a case needs, and for each group that has cases the numbers of its
    persons.
    """
    errors = result.errors
    annotated = errors.labelled.sum(1)
    half = (errors.labelled.shape[1] + 1) // 2
    least = max(min(half, int(annotated.max(initial=0))), 1)
    usable = np.flatnonzero(annotated >= least)
    if not number or not len(usable):
        return least, {}
    badness = errors.mean_distance if errors.kinds is None else -errors.oks
    by_error = usable[np.argsort(-badness[usable], kind="stable")]
    measure = "mean error" if errors.kinds is None else "OKS"
    groups = {f"Worst by {measure}": by_error[:number], f"Best by {measure}": by_error[number:][::-1][:number]}
    if errors.kinds is not None:
        for kind in ("inversion", "swap"):
            counts = (errors.kinds[usable] == ERROR_KINDS.index(kind)).sum(1)
            most = np.argsort(-counts, kind="stable")[: max(number // 2, 1)]
            groups[f"Most {kind}s"] = usable[most[counts[most] > 0]]
    return least, {title: list(map(int, indices)) for title, indices in groups.items() if len(indices)}


def draw_case(result: EvaluatedModel, index: int) -> tuple[str, str]:
    """A person's annotation and prediction as a JPEG file in base64, and a caption."""
    person, errors = result.persons[index], result.errors
    kinds = np.zeros(len(person.keypoints), int) if errors.kinds is None else errors.kinds[index]
    marks = {k: COLOURS[ERROR_KINDS[kind]] for k, kind in enumerate(kinds) if kind > 0}
    _, encoded = cv2.imencode(".jpg", draw_pair(person, result.metainfo, marks), [cv2.IMWRITE_JPEG_QUALITY, 85])
    name = f"{Path(person.image_path).name}, annotation {person.instance_id}"
    if errors.kinds is None:
        return embed(encoded.tobytes()), f"{name}: mean error {errors.mean_distance[index]:.3f} of the box"
    found = [f"{kind} {(kinds == k).sum()}" for k, kind in enumerate(ERROR_KINDS) if k and (kinds == k).any()]
    return embed(encoded.tobytes()), f"{name}: OKS {errors.oks[index]:.3f}; {', '.join(found) or 'no error'}"


def draw_pair(person: EvaluatedPerson, metainfo: dict, marks: Mapping[int, str]) -> np.ndarray:
    """Draw a person in its box enlarged by a quarter: the annotation on the left, the prediction on the right.

    Marks are predicted keypoints that get a ring, each with its colour #rrggbb. Returns (h, 2 w, 3) uint8 BGR.
    """
    sides, size = np.maximum(1.25 * (person.box[2:] - person.box[:2]), 1), np.array(CELL, dtype=float)
    scale = float((size / sides).min())
    shift = size / 2 - scale * (person.box[:2] + person.box[2:]) / 2  # puts the centre of the box in the middle
    matrix = np.column_stack([scale * np.eye(2), shift])
    crop = cv2.warpAffine(
        mmcv.imread(person.image_path), matrix, CELL, flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255)
    )
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
    for index, colour in marks.items():
        centre = tuple(int(value) for value in points[0, index].round())
        for bgr, width in (((255, 255, 255), 4), (tuple(bytes.fromhex(colour[1:])[::-1]), 2)):
            cv2.circle(pair[:, CELL[0] :], centre, 8, bgr, width, cv2.LINE_AA)
    return pair


def embed(picture: bytes) -> str:
    """A picture in base64, as a data URI has it."""
    return base64.b64encode(picture).decode("ascii")
