"""Person boxes: the whole image, a json file, a detector of MMDetection, or any function."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Callable, Protocol, Union, runtime_checkable

import numpy as np
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.evaluation.functional import nms

from ..errors import UserError
from .sources import Frame, Source

SCORE_THRESHOLD = 0.3
NMS_THRESHOLD = 0.65
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

    - COCO annotations: a dict with ``images`` and ``annotations``; boxes of crowds are left out.
    - COCO detections: a list of dicts with ``bbox`` (x, y, w, h), ``score``, and ``image_id`` or ``file_name``. An
      ``image_id`` belongs to the file whose name without ending is this number, as in COCO.
    - Plain: a dict from file name to a list of boxes ``[x1, y1, x2, y2]`` or ``[x1, y1, x2, y2, score]``; for a video,
      a list of such lists, one for each frame.

    A name in the file belongs to the input whose path ends in it.

    Args:
        path: The file.
        threshold: Lowest score.

    Raises:
        UserError: If the file does not exist or has another format.
    """

    def __init__(self, path: str | Path, threshold: float = SCORE_THRESHOLD) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"The box file {path} does not exist: give a json file.")
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"The box file {path} is not json ({error}): check how it was written.") from error
        self.ids: dict[str, int] = {}
        self.boxes: dict[str, list] = {}
        try:
            self._read(content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"The box file {path} must have COCO annotations, COCO detections, or boxes by file name, but an entry "
                f"does not fit ({type(error).__name__}: {error}): see docs/prediction.md."
            ) from error
        for name, boxes in self.boxes.items():
            frames = boxes if boxes and _is_list_of_frames(boxes) else [boxes]
            for frame in frames:
                as_boxes(frame, f"The box file {path}, for {name},")
        self.threshold = threshold

    def _read(self, content: dict | list) -> None:
        if isinstance(content, list):
            for entry in content:
                name = entry["file_name"] if "file_name" in entry else f"{int(entry['image_id'])}"
                self.boxes.setdefault(name, []).append([*_corners(entry["bbox"]), float(entry["score"])])
                if "image_id" in entry:
                    self.ids[name] = int(entry["image_id"])
        elif "images" in content and "annotations" in content:
            names = {image["id"]: image["file_name"] for image in content["images"]}
            self.ids = {name: number for number, name in names.items()}
            self.boxes = {name: [] for name in names.values()}
            for entry in content["annotations"]:
                if not entry.get("iscrowd") and entry["bbox"][2] > 0 and entry["bbox"][3] > 0:
                    self.boxes[names[entry["image_id"]]].append([*_corners(entry["bbox"]), 1.0])
        else:
            self.boxes = {name: list(boxes) for name, boxes in content.items()}

    def match(self, sources: Sequence[Source]) -> int:
        """Find the entry of each source.

        Args:
            sources: All inputs.

        Returns:
            The number of boxes whose image is not among the inputs; of a video, the number of its frames.

        Raises:
            UserError: If no entry belongs to an input, or one to several.
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
        boxes = self.boxes[self.names[frame.source.name]] if frame.source.name in self.names else []
        if frame.source.kind != "image":
            boxes = boxes[frame.index] if frame.index < len(boxes) else []
        boxes = as_boxes(boxes, f"The box file {self.path}, for {frame.source.name},")
        return boxes[boxes[:, 4] >= self.threshold]

    def image_id(self, frame: Frame) -> int | None:
        """Return COCO's id of the image, if the file has one."""
        return self.ids.get(self.names.get(frame.source.name, ""))


AnyBoxes = Union[None, str, Path, Callable[[np.ndarray], np.ndarray], BoxProvider]


def make_provider(boxes: AnyBoxes) -> BoxProvider:
    """Make a box provider: ``None`` uses the whole image, a path a json file, a function its result."""
    if boxes is None:
        return WholeImage()
    if isinstance(boxes, (str, Path)):
        return FromFile(boxes)
    return boxes if isinstance(boxes, BoxProvider) else FromFunction(boxes)


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
    if len(boxes) == 0:
        return np.zeros((0, 5), np.float32)
    try:
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
