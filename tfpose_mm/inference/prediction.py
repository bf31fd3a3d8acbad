"""Predict images and videos, and write drawings and result files: the command ``predict``."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
from mmengine.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..config_files import read_config
from ..datasets.config_data import list_evaluators
from ..errors import UserError, need_at_least
from . import tracking
from .boxes import SCORE_THRESHOLD, AnyBoxes, FromDetector, FromFile
from .drawing import VideoWriter, draw_people
from .predictor import BATCH_SIZE, Prediction, Predictor
from .sources import Source, Unreadable, find_sources
from .writers import PredictionWriter

# Keypoints below this score are not drawn: docs/prediction.md has the measured precision.
DRAW_THRESHOLD = 0.3


@dataclass
class PredictionSummary:
    """What :func:`predict` did.

    Attributes:
        out: Folder of the results.
        images: Number of images and frames.
        persons: Number of persons.
        seconds: Time, without the loading of the model.
        unreadable: Inputs that could not be read.
        unmatched: Boxes of images that are not among the inputs.
        others: Boxes of other categories, by their name or id.
        interrupted: Whether Ctrl-C ended it early. The files have all that was done.
    """

    out: Path
    images: int = 0
    persons: int = 0
    seconds: float = 0.0
    unreadable: list[Unreadable] = field(default_factory=list)
    unmatched: int = 0
    others: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def __str__(self) -> str:
        """One line, and a second one on unmatched boxes."""
        text = f"{self.images} images or frames with {self.persons} persons in {self.seconds:.1f} s: {self.out}"
        if self.unmatched:
            text += f"\n{self.unmatched} boxes of the file are of images that are not among the inputs."
        if self.others:
            names = ", ".join(f"{name}: {number}" for name, number in self.others.items())
            text += f"\nBoxes of other categories are left out (category: number): {names}."
        return text

    @property
    def errors(self) -> list[str]:
        """A sentence for each problem."""
        lines = [str(entry) for entry in self.unreadable]
        if self.interrupted:
            lines.append("Interrupted: the files contain all results up to this point.")
        return lines

    @property
    def exit_status(self) -> int:
        """130 after Ctrl-C, 3 if a file could not be read, else 0."""
        return 130 if self.interrupted else 3 if self.unreadable else 0


def predict(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: str | Path | Sequence[str],
    *,
    out: str | Path,
    boxes: str | Path | AnyBoxes = None,
    category: int | None = None,
    detector: str | None = None,
    detector_weights: str | None = None,
    box_threshold: float = SCORE_THRESHOLD,
    batch_size: int = BATCH_SIZE,
    device: str = "cpu",
    keypoint_scores: Literal["auto", "keypoint_map", "heatmap", "one"] = "auto",
    drawings: bool = True,
    threshold: float = DRAW_THRESHOLD,
    track: bool = False,
    smooth: bool = False,
    progress: bool = True,
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> PredictionSummary:
    """Predict keypoints in images, videos or a webcam; write drawings, json and CSV.

    Without boxes or a detector the whole image is one person. The exit status is 3 if a file could not be read (the
    rest is done), and 130 after Ctrl-C (what was done is written).

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        checkpoint: Checkpoint file.
        inputs: One or several: image, folder, glob pattern (in quotes), video, webcam or webcam:1.
        out: Folder for results.json (COCO), predictions.json (MMPose), predictions.csv and the drawings in drawn/: a
            picture for each image, an .mp4 for each video.
        boxes: Person boxes: json file of COCO annotations or detections, or of boxes by file name.
        category: Category id of the boxes in a json file, or number of the detector's class. Defaults to the categories
            with the model's keypoints, else to persons.
        detector: Config of a detector of MMDetection, in place of boxes.
        detector_weights: Checkpoint of the detector.
        box_threshold: Lowest score of a box.
        batch_size: Persons at once, of several images.
        device: cpu, or a GPU as cuda:0.
        keypoint_scores: Kind of keypoint scores; auto: from keypoint maps or heat maps if the model has them.
        drawings: Whether to write drawings.
        threshold: Lowest score of a keypoint that is drawn; the files have all.
        track: Whether to number the persons of videos.
        smooth: Whether to smooth the keypoints of videos; needs track.
        progress: Whether to show a progress bar.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        Numbers and problems.

    Raises:
        UserError: If inputs, boxes, config or checkpoint cannot be used, or the folder already has results.
    """
    out = Path(out)
    if out.is_file():
        raise UserError(f"--out must be a folder, but {out} is a file: choose another name.")
    if (out / "results.json").exists():
        raise UserError(f"{out} already has results: delete it or choose another folder; nothing was changed.")
    need_at_least(1, batch_size=batch_size)
    if smooth and not track:
        raise UserError("Smoothing needs tracking, but tracking is off: use --track with --smooth.")
    if bool(detector) != bool(detector_weights) or (detector and boxes is not None):
        raise UserError("A detector needs --detector and --detector-weights, and no --boxes: give both or neither.")
    cfg = read_config(config, cfg_options)
    sources = find_sources(inputs)
    if detector and detector_weights:
        boxes = FromDetector(detector, detector_weights, device, box_threshold, category or 0)
    elif isinstance(boxes, (str, Path)):
        boxes = FromFile(boxes, box_threshold, category)
    predictor = Predictor(cfg, checkpoint, device, keypoint_scores)
    predictions = predictor.predict_sources(sources, boxes, batch_size, keep_images=drawings)
    if track:
        predictions = tracking.track(predictions)
    if smooth:
        predictions = tracking.smooth(predictions)
    summary = PredictionSummary(
        out, unreadable=predictor.unreadable, unmatched=predictor.unmatched, others=predictor.others
    )
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(PredictionWriter(out, predictor.metainfo, _coco_settings(predictor.cfg)))
        drawer = stack.enter_context(contextlib.closing(_Drawer(out / "drawn", predictor.metainfo, threshold)))
        bar = stack.enter_context(_progress(progress))
        task = bar.add_task("predicting", total=_count(sources))
        try:
            for prediction in predictions:
                with _held_interrupts():
                    writer.write(prediction)
                    if drawings:
                        drawer.draw(prediction)
                    summary.images += 1
                    summary.persons += len(prediction.boxes)
                bar.advance(task)
        except KeyboardInterrupt:
            summary.interrupted = True
    summary.seconds = time.monotonic() - start
    return summary


@contextlib.contextmanager
def _held_interrupts() -> Generator[None, None, None]:
    """Let Ctrl-C wait until the block has ended, so that all files have the same images."""
    if threading.current_thread() is not threading.main_thread():  # other threads get no KeyboardInterrupt
        yield
        return
    held = []
    before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if held:
        raise KeyboardInterrupt


def _coco_settings(cfg: Config) -> dict:
    """Settings of the config's ``CocoMetric``."""
    for evaluator in list_evaluators(cfg, ("test_evaluator",)):
        if evaluator.get("type") == "CocoMetric":
            return {name: evaluator[name] for name in ("keypoint_score_thr", "nms_thr") if name in evaluator}
    return {}


def _count(sources: Sequence[Source]) -> int | None:
    counts = [source.frames for source in sources if source.frames is not None]
    return sum(counts) if len(counts) == len(sources) else None


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.1f} images/s")


def _progress(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not shown)


class _Drawer:
    """Write a picture for each image and a video for each video."""

    def __init__(self, folder: Path, metainfo: dict, threshold: float) -> None:
        self.folder, self.metainfo, self.threshold = folder, metainfo, threshold
        self.used: set[str] = set()
        self.video: VideoWriter | None = None
        self.name: str | None = None

    def draw(self, prediction: Prediction) -> None:
        assert prediction.image is not None  # keep_images
        ids = prediction.track_ids
        labels = [] if ids is None else [f"person {number}" for number in ids]
        image = draw_people(
            prediction.image,
            prediction.keypoints,
            prediction.keypoint_scores,
            prediction.boxes,
            self.metainfo,
            self.threshold,
            labels,
        )
        prediction.image = None
        self.folder.mkdir(parents=True, exist_ok=True)
        if prediction.source.fps is None:  # an image
            path = self.folder / self._new_name(Path(prediction.name).stem, ".jpg")
            if not cv2.imwrite(str(path), image):
                raise RuntimeError(
                    f"OpenCV could not write {path}: check the folder's permissions and the free disk space."
                )
            return
        if prediction.name != self.name or self.video is None:
            self.close()
            self.name = prediction.name
            path = self.folder / self._new_name(Path(prediction.name).stem.replace(":", ""), ".mp4")
            self.video = VideoWriter(path, prediction.source.fps, prediction.size)
        self.video.write(image)

    def _new_name(self, stem: str, ending: str) -> str:
        """A name that no other input of this run has, as a.jpg of two folders."""
        name, number = f"{stem}{ending}", 1
        while name in self.used:
            number += 1
            name = f"{stem}_{number}{ending}"
        self.used.add(name)
        return name

    def close(self) -> None:
        if self.video is not None:
            self.video.close()
            self.video = None
