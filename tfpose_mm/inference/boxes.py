"""Person boxes: the whole image, a json file, a detector of MMDetection, or any function."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Callable, Protocol, Union, runtime_checkable

import numpy as np
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.evaluation.functional import nms

from ..errors import UserError
from .sources import Frame, Source

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.65
SINGLE = ("image", "array")  # kinds of sources with one image
PERSON = 1  # COCO's category; MMPose takes the boxes of this one
Boxes = np.ndarray  # (P, 5): x1, y1, x2, y2 in pixels of the image, and the score


@runtime_checkable
class BoxProvider(Protocol):
    """Interface of an object that returns the person boxes of a frame."""

    def __call__(self, frame: Frame) -> Boxes:
        """Return the boxes (P, 5) of a frame."""

    def image_id(self, frame: Frame) -> int | None:
        """Return COCO's id of the image, ``None`` if unknown."""


class WholeImage:
    """One box: the whole image."""

    def __call__(self, frame: Frame) -> Boxes:
        """Return the box (1, 5)."""
        height, width = frame.image.shape[:2]
        return np.array([[0, 0, width, height, 1]], dtype=np.float32)

    def image_id(self, frame: Frame) -> int | None:
        """Return ``None``."""
        return None


class FromFunction:
    """Boxes of a function.

    Args:
        function: Takes an image (H, W, 3) uint8 BGR and returns boxes (P, 4) as x1, y1, x2, y2, or (P, 5) with scores.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.function = function

    def __call__(self, frame: Frame) -> Boxes:
        """Call the function.

        Raises:
            UserError: If it returns another shape.
        """
        return as_boxes(self.function(frame.image), f"The box function, for {frame.source.name},")

    def image_id(self, frame: Frame) -> int | None:
        """Return ``None``."""
        return None


class FromDetector:
    """Boxes of an MMDetection detector.

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

        if not Path(config).is_file():
            raise UserError(f"The detector's config {config} does not exist: give a config file of MMDetection.")
        scope = DefaultScope.get_current_instance()
        self.model = init_detector(config, weights, device=device)
        init_default_scope("mmpose" if scope is None else scope.scope_name)  # init_detector sets mmdet's
        self.model.cfg = adapt_mmdet_pipeline(self.model.cfg)
        self.detect = inference_detector
        self.threshold, self.category = threshold, category

    def __call__(self, frame: Frame) -> Boxes:
        """Detect persons: score threshold, then non-maximum suppression with IoU 0.65."""
        found = self.detect(self.model, frame.image).pred_instances.cpu().numpy()
        boxes = np.concatenate([found.bboxes, found.scores[:, None]], axis=1).astype(np.float32)
        boxes = boxes[(found.labels == self.category) & (found.scores > self.threshold)]
        return boxes[nms(boxes, NMS_THRESHOLD)] if len(boxes) else boxes.reshape(0, 5)

    def image_id(self, frame: Frame) -> int | None:
        """Return ``None``."""
        return None


class FromFile:
    """Boxes of a json file, in one of three formats.

    - COCO annotations: a dict with ``images``, ``annotations`` and ``categories``; boxes of crowds are left out.
    - COCO detections: a list of dicts with ``bbox`` (x, y, w, h), ``score``, and ``image_id`` or ``file_name``. An
      ``image_id`` belongs to the file whose name without ending is this number, as in COCO.
    - Plain: a dict from file name to a list of boxes ``[x1, y1, x2, y2]`` or ``[x1, y1, x2, y2, score]``; for a video,
      a list of such lists, one for each frame.

    A name in the file belongs to the input whose path ends in it. Of several categories, those with the keypoints of
    the model are used; see :func:`choose_categories`.

    Args:
        path: The file.
        threshold: Lowest score.
        category: Id of the category whose boxes are used; ``None`` chooses.

    Raises:
        UserError: If the file does not exist or has another format.
    """

    def __init__(self, path: str | Path, threshold: float = SCORE_THRESHOLD, category: int | None = None) -> None:
        self.path, self.threshold, self.category = Path(path), threshold, category
        if not self.path.is_file():
            raise UserError(f"The box file {path} does not exist: give a json file.")
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"The box file {path} is not json ({error}): check how it was written.") from error
        self.ids: dict[str, int] = {}
        self.boxes: dict[str, list] = {}  # with a sixth number if the file has categories: the id
        self.descriptions: list[dict] = []  # of the categories
        self.has_categories = True
        self.chosen: set[int] | None = None
        try:
            self._read(content)
            self._check_boxes()
        except UserError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"The box file {path} must have COCO annotations, COCO detections, or boxes by file name, but an entry "
                f"does not fit ({type(error).__name__}: {error}): see docs/prediction.md."
            ) from error

    def _check_boxes(self) -> None:
        for name, boxes in self.boxes.items():
            frames = boxes if boxes and _is_list_of_frames(boxes) else [boxes]
            for frame in frames:
                as_boxes(
                    [box[:5] if self.has_categories else box for box in frame], f"The box file {self.path}, {name},"
                )

    def _read(self, content: dict | list) -> None:
        if isinstance(content, list):
            for entry in content:
                name = entry["file_name"] if "file_name" in entry else f"{int(entry['image_id'])}"
                box = [*_corners(entry["bbox"]), float(entry["score"]), int(entry.get("category_id", PERSON))]
                self.boxes.setdefault(name, []).append(box)
                if "image_id" in entry:
                    self.ids[name] = int(entry["image_id"])
        elif "images" in content and "annotations" in content:
            names = {image["id"]: image["file_name"] for image in content["images"]}
            self.ids = {name: number for number, name in names.items()}
            self.boxes = {name: [] for name in names.values()}
            self.descriptions = [entry for entry in content.get("categories") or [] if isinstance(entry, dict)]
            for entry in content["annotations"]:
                if not entry.get("iscrowd") and entry["bbox"][2] > 0 and entry["bbox"][3] > 0:
                    box = [*_corners(entry["bbox"]), 1.0, int(entry.get("category_id", PERSON))]
                    self.boxes[names[entry["image_id"]]].append(box)
        else:
            self.has_categories = False
            self.boxes = {name: list(boxes) for name, boxes in content.items()}

    def match(self, sources: Sequence[Source], keypoints: Sequence[str] = ()) -> int:
        """Find the entry of each source, and choose the categories.

        It sets ``others``, the number of boxes of other categories by the name or id of the category.

        Args:
            sources: All inputs.
            keypoints: Names of the model's keypoints.

        Returns:
            The number of boxes whose image is not among the inputs; of a video, the number of its frames.

        Raises:
            UserError: If no entry belongs to an input, or one to several; if the categories do not fit.
        """
        self.names = {source.name: name for source in sources if (name := self._entry(source.name)) is not None}
        if not self.names:
            raise UserError(
                f"The box file {self.path} must name an input, but none of its {len(self.boxes)} names (the first is "
                f"{next(iter(self.boxes), 'none')}) ends the path of an input (the first is {sources[0].name}): check "
                "the names."
            )
        used: dict[str, str] = {}
        for source, name in self.names.items():
            if used.setdefault(name, source) != source:
                raise UserError(
                    f"Each name in the box file {self.path} must end the path of one input, but {name} ends those of "
                    f"{used[name]} and {source}: use longer names, with folders."
                )
        found = Counter(box[5] for name in used for box in self.boxes[name] if len(box) == 6)
        self.chosen = choose_categories(found, self.descriptions, keypoints, self.category, f"The box file {self.path}")
        names = {entry.get("id"): entry.get("name", entry.get("id")) for entry in self.descriptions}
        self.others = {str(names.get(number, number)): n for number, n in found.items() if number not in self.chosen}
        return sum(len(boxes) for name, boxes in self.boxes.items() if name not in used)

    def _entry(self, path: str) -> str | None:
        for parts in (PurePath(path).parts, Path(path).absolute().parts):
            for start in range(len(parts)):  # the longest name first
                name = "/".join(parts[start:]).replace("//", "/")
                if name in self.boxes:
                    return name
        stem = PurePath(path).stem
        return str(int(stem)) if stem.isdecimal() and str(int(stem)) in self.boxes else None

    def __call__(self, frame: Frame) -> Boxes:
        """Return the boxes of a frame: none if the file does not name it."""
        boxes = [box[:5] for box in self._chosen_boxes(frame)]
        return as_boxes(boxes, f"The box file {self.path}, for {frame.source.name},")

    def category_ids(self, frame: Frame) -> list[int]:
        """Return the category of each box of a frame."""
        return [box[5] if len(box) == 6 else PERSON for box in self._chosen_boxes(frame)]

    def _chosen_boxes(self, frame: Frame) -> list[list]:
        boxes = self.boxes[self.names[frame.source.name]] if frame.source.name in self.names else []
        if frame.source.kind not in SINGLE and boxes and _is_list_of_frames(boxes):
            boxes = boxes[frame.index] if frame.index < len(boxes) else []  # else they belong to every frame
        boxes = [box for box in boxes if len(box) < 6 or self.chosen is None or box[5] in self.chosen]
        return [box for box in boxes if len(box) < 5 or box[4] >= self.threshold]

    def image_id(self, frame: Frame) -> int | None:
        """Return COCO's id of the image, if the file has one."""
        return self.ids.get(self.names.get(frame.source.name, ""))


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

    Returns:
        The ids.

    Raises:
        UserError: If none fits, or it is not clear which one.
    """
    found = set(found)
    if wanted is not None:
        if found and wanted not in found:
            listed = ", ".join(map(str, sorted(found)))
            raise UserError(f"{what} must have boxes of category {wanted}, but has those of {listed}: choose another.")
        return {wanted}
    entries = {entry["id"]: entry for entry in descriptions if "id" in entry}
    lists = {number: entry.get("keypoints") for number, entry in entries.items()}
    lengths = {number: len(names) for number, names in lists.items() if isinstance(names, list) and names}
    if lengths and keypoints:
        fitting = {number for number, length in lengths.items() if length == len(keypoints)}
        if fitting:
            return fitting
        number, length = next(iter(lengths.items()))
        raise UserError(
            f"{what} must have a category with the {len(keypoints)} keypoints of the model, but category "
            f"{entries[number].get('name', number)} has {length}: use the model's own data, or --category."
        )
    persons = {number for number, entry in entries.items() if str(entry.get("name")).lower() == "person"}
    if found & persons:
        return found & persons
    if PERSON in found or not found:
        return {PERSON}
    if len(found) == 1:
        return found
    listed = ", ".join(map(str, sorted(found)))
    raise UserError(f"{what} has boxes of the categories {listed}, and none is {PERSON}: choose one with --category.")


class FromArrays:
    """Boxes that are given with the inputs.

    Args:
        boxes: (P, 4) as x1, y1, x2, y2, or (P, 5) with scores, for every image; or a list with one such array for each
            image, or for each frame of one video or stream, in order.

    Raises:
        UserError: If they have another shape.
    """

    def __init__(self, boxes: np.ndarray | Sequence) -> None:
        single = isinstance(boxes, np.ndarray) or (len(boxes) > 0 and all(map(_is_box, boxes)))
        self.same = as_boxes(boxes, "The boxes") if single else None
        self.each = [] if single else [as_boxes(part, f"The boxes of image {i}") for i, part in enumerate(boxes)]
        self.places: dict[str, int] | None = None

    def match(self, sources: Sequence[Source]) -> None:
        """Give each source its array.

        Raises:
            UserError: If there is another number of arrays than of images.
        """
        if self.same is not None or (len(sources) == 1 and sources[0].kind not in SINGLE):
            return
        if len(sources) != len(self.each) or any(source.kind not in SINGLE for source in sources):
            raise UserError(
                f"The list of boxes needs an array for each image, but has {len(self.each)} for {len(sources)} inputs: "
                "give one for each (an input that is given twice counts once), and predict videos one by one."
            )
        self.places = {source.name: place for place, source in enumerate(sources)}

    def __call__(self, frame: Frame) -> Boxes:
        """Return the boxes of a frame.

        Raises:
            UserError: If a video has more frames than there are arrays.
        """
        if self.same is not None:
            return self.same
        place = frame.index if self.places is None else self.places[frame.source.name]
        if place >= len(self.each):
            raise UserError(f"The list of boxes has arrays for {len(self.each)} frames, but there are more: add them.")
        return self.each[place]

    def image_id(self, frame: Frame) -> int | None:
        """Return ``None``."""
        return None


def _is_box(value: object) -> bool:
    """Whether this is one box: four or five numbers."""
    kinds = (Sequence, np.ndarray)
    return isinstance(value, kinds) and len(value) in (4, 5) and not any(isinstance(part, kinds) for part in value)


AnyBoxes = Union[None, str, Path, np.ndarray, Sequence, Callable[[np.ndarray], np.ndarray], BoxProvider]


def make_provider(boxes: AnyBoxes) -> BoxProvider:
    """Make a box provider: ``None`` uses the whole image, a path a json file, a function its result, arrays themselves.

    Raises:
        UserError: If the boxes are something else.
    """
    if boxes is None:
        return WholeImage()
    if isinstance(boxes, (str, Path)):
        return FromFile(boxes)
    if isinstance(boxes, (np.ndarray, Sequence)):
        return FromArrays(boxes)
    if isinstance(boxes, BoxProvider):
        return boxes
    if callable(boxes):
        return FromFunction(boxes)
    raise UserError(
        f"Boxes must be a json file, an array, a list of arrays or a function, but got a {type(boxes).__name__}: "
        "convert them."
    )


def as_boxes(boxes: Sequence | np.ndarray, what: str) -> Boxes:
    """Check boxes and give those without scores the score 1.

    Args:
        boxes: (P, 4) or (P, 5).
        what: Where they are from, for the message.

    Returns:
        (P, 5) float32.

    Raises:
        UserError: If they have another shape, or a box has no area or is not finite.
    """
    try:
        if len(boxes) == 0:
            return np.zeros((0, 5), np.float32)
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
    return array if array.shape[1] == 5 else np.concatenate([array, np.ones((len(array), 1), np.float32)], axis=1)


def _is_list_of_frames(boxes: Sequence) -> bool:
    """Whether these are the boxes of a video: a list for each frame."""
    return all(isinstance(frame, list) and all(isinstance(box, list) for box in frame) for frame in boxes)


def _corners(box: Sequence[float]) -> list[float]:
    x, y, width, height = map(float, box)
    return [x, y, x + width, y + height]
