"""Person boxes: the whole image, a json file of COCO, an array, a detector of MMDetection, or any function."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.evaluation.functional import nms

from ..errors import UserError, need_file
from .sources import Frame, Source

SCORE_THRESHOLD = 0.3  # lowest score of a box
NMS_THRESHOLD = 0.65
PERSON = 1  # COCO's category; MMPose takes the boxes of this one
AnyBoxes = Union[None, str, Path, np.ndarray, Sequence, Callable[[np.ndarray], np.ndarray]]


class PersonBoxes(NamedTuple):
    """The person boxes of all inputs."""

    find: Callable[[Frame], np.ndarray]  # boxes of a frame (P, 6): x1, y1, x2, y2 in pixels, score, category id
    image_ids: Mapping[str, int] = {}  # COCO's ids of the images, by the names of the sources
    notes: Sequence[str] = ()  # sentences on boxes of the file that are left out


def find_boxes(
    boxes: AnyBoxes, sources: Sequence[Source], keypoints: int, threshold: float, category: int | None
) -> PersonBoxes:
    """Find the person boxes of the inputs for a model with K keypoints, see :meth:`Predictor.__call__`."""
    if boxes is None:
        return PersonBoxes(lambda frame: as_boxes([[0, 0, *frame.image.shape[1::-1]]], "The image"))
    if isinstance(boxes, (str, Path)):
        return _from_file(Path(boxes), sources, keypoints, threshold, category)
    if callable(boxes):
        return PersonBoxes(lambda frame: as_boxes(boxes(frame.image), f"The box function, for {frame.source.name},"))
    same = as_boxes(boxes, "The boxes")
    return PersonBoxes(lambda frame: same)


def as_boxes(boxes: Sequence | np.ndarray, what: str) -> np.ndarray:
    """Check boxes (P, 4) or (P, 5); return (P, 6) float32 with the score 1 and the category of persons by default."""
    array: np.ndarray = np.zeros(1)
    with contextlib.suppress(TypeError, ValueError):  # not numbers, or boxes of different lengths
        array = np.asarray(boxes, dtype=np.float32)
    if array.shape[:1] == (0,):
        return np.zeros((0, 6), np.float32)
    good = array.ndim == 2 and array.shape[1] in (4, 5) and np.isfinite(array)
    if not (np.all(good) and (array[:, 2:4] > array[:, :2]).all()):
        raise UserError(
            f"{what} must give boxes (P, 4) or (P, 5), x1 y1 x2 y2 [score] with x2 > x1 and y2 > y1, but gave "
            f"{boxes!s:.100}: correct it."
        )
    return np.pad(array, ((0, 0), (0, 6 - array.shape[1])), constant_values=PERSON)


def _from_file(
    path: Path, sources: Sequence[Source], keypoints: int, threshold: float, category: int | None
) -> PersonBoxes:
    rows, ids, described = _read_file(path)
    keys = {source.name: key for source in sources if (key := _find_key(source.name, rows)) is not None}
    if not keys:
        raise UserError(
            f"The box file {path} must name an input, but none of its {len(rows)} names (the first is "
            f"{next(iter(rows), 'none')}) ends the path of an input (the first is {sources[0].name}): check the names."
        )
    ((key, count),) = Counter(keys.values()).most_common(1)
    if count > 1:
        same = " and ".join([name for name, used in keys.items() if used == key][:2])
        raise UserError(
            f"Each name in the box file {path} must end the path of one input, but {key} ends those of {same}: use "
            "longer names, with folders."
        )
    found = Counter(row[5] for key in keys.values() for row in rows[key])
    chosen = choose_categories(set(found), described, keypoints, category, path)
    notes = []
    unmatched = sum(map(len, rows.values())) - sum(found.values())
    if unmatched:
        notes.append(f"{unmatched} boxes of the file belong to no input.")
    others = {described.get(number, {}).get("name", number): n for number, n in found.items() if number not in chosen}
    if others:
        numbers = ", ".join(f"{name}: {count}" for name, count in others.items())
        notes.append(f"Boxes of other categories are left out (category: number): {numbers}.")
    low = sum(row[4] < threshold and row[5] in chosen for key in keys.values() for row in rows[key])
    if low:
        notes.append(f"{low} boxes are left out, because their score is below {threshold:g} (--box-threshold).")

    def find(frame: Frame) -> np.ndarray:
        listed = rows[keys[frame.source.name]] if frame.source.name in keys else []
        if frame.source.fps is not None:  # a video
            listed = [row for row in listed if row[6] in (None, frame.index)]
        return np.array([row[:6] for row in listed if row[4] >= threshold and row[5] in chosen]).reshape(-1, 6)

    return PersonBoxes(find, {name: ids[key] for name, key in keys.items() if key in ids}, notes)


def _read_file(path: Path) -> tuple[dict[str, list[list]], dict[str, Any], dict[int, dict]]:
    """Rows x1, y1, x2, y2, score, category, frame by file name; COCO's ids of the images; COCO's categories by id."""
    need_file("box file", path, "give a json file")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        rows, ids, described = {}, {}, {}
        if isinstance(entries, dict):
            names = {image["id"]: image["file_name"] for image in entries["images"]}
            rows, ids = {name: [] for name in names.values()}, {name: number for number, name in names.items()}
            described = {entry["id"]: entry for entry in entries.get("categories") or ()}
            entries = [
                dict(entry, file_name=names[entry["image_id"]], score=1)
                for entry in entries["annotations"]
                if not entry.get("iscrowd") and min(entry["bbox"][2:]) > 0
            ]
        for entry in entries:
            name = entry["file_name"] if "file_name" in entry else str(int(entry["image_id"]))
            x, y, width, height = map(float, entry["bbox"])
            row = [x, y, x + width, y + height, float(entry["score"])]
            rows.setdefault(name, []).append([*row, int(entry.get("category_id", PERSON)), entry.get("frame")])
            if "image_id" in entry:
                ids[name] = entry["image_id"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"The box file {path} must be json with COCO annotations or COCO detections, but does not fit "
            f"({type(error).__name__}: {error}): see docs/prediction.md."
        ) from error
    for name, listed in rows.items():
        as_boxes([row[:5] for row in listed], f"The box file {path}, {name},")
    return rows, ids, described


def _find_key(path: str, rows: Mapping[str, list]) -> str | None:
    """The longest name in the file that ends the path; else the number that is the name without ending."""
    parts, stem = Path(path).absolute().parts, Path(path).stem
    names = [Path(*parts[start:]).as_posix() for start in range(len(parts))]
    return next((name for name in [*names, str(int(stem)) if stem.isdecimal() else ""] if name in rows), None)


def choose_categories(
    found: set[int], described: Mapping[int, dict], keypoints: int, wanted: int | None, path: Path
) -> set[int]:
    """The wanted category; else those with K keypoints; else person by name; else 1, as MMPose; else the only one."""
    fitting = {number for number, entry in described.items() if len(entry.get("keypoints") or ()) == keypoints}
    persons = {number for number in found if str(described.get(number, {}).get("name")).lower() == "person"}
    only = found if len(found) == 1 else set()
    chosen = {wanted} & found if wanted is not None else fitting or persons or {PERSON} & found or only
    if found and not chosen:
        raise UserError(
            f"The box file {path} must have boxes of category {PERSON if wanted is None else wanted}, but has those of "
            f"{', '.join(map(str, sorted(found)))}: choose one with --category."
        )
    return chosen


class FromDetector:
    """Boxes of an MMDetection detector: score threshold, then non-maximum suppression with IoU 0.65.

    Args:
        config: Its config file.
        weights: Its checkpoint.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
        threshold: Lowest score.
        category: Number of the class person.
    """

    def __init__(
        self, config: str, weights: str, device: str = "cpu", threshold: float = SCORE_THRESHOLD, category: int = 0
    ) -> None:
        from mmdet.apis import inference_detector, init_detector
        from mmpose.utils import adapt_mmdet_pipeline

        need_file("detector's config", config, "give a config file of MMDetection")
        scope = DefaultScope.get_current_instance()
        self.model = init_detector(config, weights, device=device)
        init_default_scope("mmpose" if scope is None else scope.scope_name)  # init_detector sets mmdet's
        self.model.cfg = adapt_mmdet_pipeline(self.model.cfg)
        self.detect = inference_detector
        self.threshold, self.category = threshold, category

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Detect persons in an image (H, W, 3) uint8 BGR; return boxes (P, 5) with scores."""
        found = self.detect(self.model, image).pred_instances.cpu().numpy()
        found = found[(found.labels == self.category) & (found.scores > self.threshold)]
        boxes = np.column_stack([found.bboxes, found.scores]).astype(np.float32)
        return boxes[nms(boxes, NMS_THRESHOLD)] if len(boxes) else boxes
