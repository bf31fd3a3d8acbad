"""Person boxes: the whole image, a json file of COCO, arrays, a detector of MMDetection, or any function."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.evaluation.functional import nms

from ..errors import UserError, need_file
from .sources import SINGLE, Frame, Source

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.65
PERSON = 1  # COCO's category; MMPose takes the boxes of this one
AnyBoxes = Union[None, str, Path, np.ndarray, Sequence, Callable[[np.ndarray], np.ndarray]]


class PersonBoxes(NamedTuple):
    """The person boxes of all inputs."""

    find: Callable[[Frame], np.ndarray]  # boxes of a frame (P, 6): x1, y1, x2, y2 in pixels, score, category id
    image_ids: Mapping[str, int] = {}  # COCO's ids of the images, by the names of the sources
    unmatched: int = 0  # boxes of images that are not among the inputs
    others: Mapping[str, int] = {}  # boxes of other categories, by the name or id of the category


def find_boxes(
    boxes: AnyBoxes,
    sources: Sequence[Source],
    keypoints: Sequence[str] = (),
    threshold: float = SCORE_THRESHOLD,
    category: int | None = None,
) -> PersonBoxes:
    """Find the person boxes of the inputs.

    Args:
        boxes: ``None`` takes the whole image as one box. A path is a json file of COCO annotations (without those of
            crowds) or of COCO detections: a list of dicts with ``bbox`` (x, y, w, h), ``score``, ``image_id`` or
            ``file_name``, and for a video ``frame``; without it the box is on all frames. A file name belongs to the
            input whose path ends in it; an ``image_id`` alone to the file whose name without ending is this number, as
            in COCO. An array is (P, 4) as x1, y1, x2, y2, or (P, 5) with scores, for every image; a list has such an
            array for each image, or for each frame of one video or stream. A function takes an image (H, W, 3) uint8
            BGR and returns such an array.
        sources: All inputs.
        keypoints: Names of the model's keypoints, to choose the category of the boxes in a file.
        threshold: Lowest score of a box in a file.
        category: Id of the category in a file; ``None`` chooses, see :func:`choose_categories`.

    Returns:
        The boxes.

    Raises:
        UserError: If the boxes have another form, or do not belong to the inputs.
    """
    if boxes is None:
        return PersonBoxes(lambda frame: as_boxes([[0, 0, *frame.image.shape[1::-1]]], "The image"))
    if isinstance(boxes, (str, Path)):
        return _from_file(Path(boxes), sources, keypoints, threshold, category)
    if isinstance(boxes, (np.ndarray, Sequence)):
        return PersonBoxes(_from_arrays(boxes, sources))
    if callable(boxes):
        return PersonBoxes(lambda frame: as_boxes(boxes(frame.image), f"The box function, for {frame.source.name},"))
    raise UserError(
        f"Boxes must be a json file, an array, a list of arrays or a function, but got a {type(boxes).__name__}: "
        "convert them."
    )


def as_boxes(boxes: Sequence | np.ndarray, what: str) -> np.ndarray:
    """Check boxes (P, 4) or (P, 5); return (P, 6) float32 with the score 1 and the category of persons by default.

    Raises:
        UserError: If they have another shape, or a box has no area or is not finite; ``what`` says whose boxes.
    """
    try:
        if len(boxes) == 0:
            return np.zeros((0, 6), np.float32)
        array = np.asarray(boxes, dtype=np.float32)
        shape = str(array.shape)
    except (TypeError, ValueError):
        array, shape = np.zeros((0, 0)), "values that are not numbers, or boxes of different lengths"
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise UserError(f"{what} must give boxes (P, 4) or (P, 5), x1 y1 x2 y2 [score], but gave {shape}: correct it.")
    wrong = ~np.isfinite(array).all(1) | (array[:, 2:4] <= array[:, :2]).any(1)
    if wrong.any():
        box = array[wrong][0].tolist()
        raise UserError(
            f"{what} must give boxes x1 y1 x2 y2 with x2 > x1 and y2 > y1, but gave {box}: correct this box."
        )
    return np.pad(array, ((0, 0), (0, 6 - array.shape[1])), constant_values=PERSON)


def _from_arrays(boxes: np.ndarray | Sequence, sources: Sequence[Source]) -> Callable[[Frame], np.ndarray]:
    if isinstance(boxes, np.ndarray) or any(np.iterable(box) and any(map(np.isscalar, box)) for box in boxes):
        same = as_boxes(boxes, "The boxes")
        return lambda frame: same
    each = [as_boxes(part, f"The boxes of image {number}") for number, part in enumerate(boxes)]
    by_frame = len(sources) == 1 and sources[0].kind not in SINGLE
    if not by_frame and (len(sources) != len(each) or any(source.kind not in SINGLE for source in sources)):
        raise UserError(
            f"The list of boxes needs an array for each image, but has {len(each)} for {len(sources)} inputs: "
            "give one for each (an input that is given twice counts once), and predict videos one by one."
        )
    places = {source.name: place for place, source in enumerate(sources)}

    def find(frame: Frame) -> np.ndarray:
        place = frame.index if by_frame else places[frame.source.name]
        if place >= len(each):
            raise UserError(f"The list of boxes has arrays for {len(each)} frames, but there are more: add them.")
        return each[place]

    return find


def _from_file(
    path: Path, sources: Sequence[Source], keypoints: Sequence[str], threshold: float, category: int | None
) -> PersonBoxes:
    rows, ids, described = _read_file(path)
    keys = {source.name: key for source in sources if (key := _find_key(source.name, rows)) is not None}
    if not keys:
        raise UserError(
            f"The box file {path} must name an input, but none of its {len(rows)} names (the first is "
            f"{next(iter(rows), 'none')}) ends the path of an input (the first is {sources[0].name}): check the names."
        )
    used: dict[str, str] = {}
    for name, key in keys.items():
        if used.setdefault(key, name) != name:
            raise UserError(
                f"Each name in the box file {path} must end the path of one input, but {key} ends those of "
                f"{used[key]} and {name}: use longer names, with folders."
            )
    found = Counter(row[5] for key in used for row in rows[key])
    chosen = choose_categories(found, described, keypoints, category, f"The box file {path}")
    titles = {entry.get("id"): entry.get("name", entry.get("id")) for entry in described}

    def find(frame: Frame) -> np.ndarray:
        listed = rows[keys[frame.source.name]] if frame.source.name in keys else []
        if frame.source.kind not in SINGLE:
            listed = [row for row in listed if row[6] in (None, frame.index)]
        return np.array([row[:6] for row in listed if row[4] >= threshold and row[5] in chosen]).reshape(-1, 6)

    return PersonBoxes(
        find,
        {name: ids[key] for name, key in keys.items() if key in ids},
        sum(len(boxes) for key, boxes in rows.items() if key not in used),
        {str(titles.get(number, number)): count for number, count in found.items() if number not in chosen},
    )


def _read_file(path: Path) -> tuple[dict[str, list[list]], dict[str, Any], list[dict]]:
    """Rows x1, y1, x2, y2, score, category, frame by file name; COCO's ids of the images; COCO's categories."""
    need_file("box file", path, "give a json file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"The box file {path} is not json ({error}): check how it was written.") from error
    try:
        rows, ids, described, entries = {}, {}, [], content
        if isinstance(content, dict):
            names = {image["id"]: image["file_name"] for image in content["images"]}
            rows, ids = {name: [] for name in names.values()}, {name: number for number, name in names.items()}
            described = [entry for entry in content.get("categories") or [] if isinstance(entry, dict)]
            entries = [
                dict(entry, file_name=names[entry["image_id"]], score=1)
                for entry in content["annotations"]
                if not entry.get("iscrowd") and min(entry["bbox"][2:]) > 0
            ]
        for entry in entries:
            name = entry["file_name"] if "file_name" in entry else str(int(entry["image_id"]))
            x, y, width, height = map(float, entry["bbox"])
            box = [x, y, x + width, y + height, float(entry["score"])]
            rows.setdefault(name, []).append([*box, int(entry.get("category_id", PERSON)), entry.get("frame")])
            if "image_id" in entry:
                ids[name] = entry["image_id"]
        for name, listed in rows.items():
            as_boxes([row[:5] for row in listed], f"The box file {path}, {name},")
    except UserError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"The box file {path} must have COCO annotations or COCO detections, but an entry does not fit "
            f"({type(error).__name__}: {error}): see docs/prediction.md."
        ) from error
    return rows, ids, described


def _find_key(path: str, rows: dict[str, list]) -> str | None:
    """The longest name in the file that ends the path; else the number that is the name without ending."""
    parts, stem = Path(path).absolute().parts, Path(path).stem
    names = [Path(*parts[start:]).as_posix() for start in range(len(parts))]
    return next((name for name in [*names, str(int(stem)) if stem.isdecimal() else ""] if name in rows), None)


def choose_categories(
    found: Iterable[int], descriptions: Sequence[dict], keypoints: Sequence[str], wanted: int | None, what: str
) -> set[int]:
    """Choose the categories whose boxes a model takes.

    These are: the wanted one; else those whose list of keypoints is as long as the model's; else, if no category has
    keypoints, the one called person; else 1, as in COCO and in MMPose; else the only one.

    Args:
        found: Ids of the categories of the boxes.
        descriptions: ``categories`` of COCO's annotations.
        keypoints: Names of the model's keypoints.
        wanted: Id of the category that the user chose.
        what: Where the boxes are from, for the message.

    Raises:
        UserError: If none fits, or it is not clear which one.
    """
    found = set(found)
    listed = ", ".join(map(str, sorted(found)))
    if wanted is not None and found and wanted not in found:
        raise UserError(f"{what} must have boxes of category {wanted}, but has those of {listed}: choose another.")
    entries = {entry["id"]: entry for entry in descriptions if "id" in entry}
    lists = {number: entry.get("keypoints") for number, entry in entries.items()}
    lengths = {number: len(names) for number, names in lists.items() if isinstance(names, list) and names}
    fitting = {number for number, length in lengths.items() if length == len(keypoints)}
    if wanted is None and lengths and keypoints and not fitting:
        number, length = next(iter(lengths.items()))
        raise UserError(
            f"{what} must have a category with the {len(keypoints)} keypoints of the model, but category "
            f"{entries[number].get('name', number)} has {length}: use the model's own data, or --category."
        )
    persons = found & {number for number, entry in entries.items() if str(entry.get("name")).lower() == "person"}
    wishes: set[int] = set() if wanted is None else {wanted}
    for choice in (wishes, fitting, persons, found & {PERSON}, found if len(found) == 1 else set()):
        if choice:
            return choice
    if found:
        raise UserError(
            f"{what} has boxes of the categories {listed}, and none is {PERSON}: choose one with --category."
        )
    return {PERSON}


class FromDetector:
    """Boxes of an MMDetection detector: score threshold, then non-maximum suppression with IoU 0.65.

    Args:
        config: Its config file.
        weights: Its checkpoint.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
        threshold: Lowest score.
        category: Number of the class person.

    Raises:
        UserError: If the config file does not exist.
    """

    def __init__(
        self,
        config: str,
        weights: str | None,
        device: str = "cpu",
        threshold: float = SCORE_THRESHOLD,
        category: int = 0,
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
        boxes = np.concatenate([found.bboxes, found.scores[:, None]], axis=1).astype(np.float32)
        boxes = boxes[(found.labels == self.category) & (found.scores > self.threshold)]
        return boxes[nms(boxes, NMS_THRESHOLD)] if len(boxes) else boxes.reshape(0, 5)
