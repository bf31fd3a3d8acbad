"""Predict images and videos, and write drawings and result files."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from mmengine.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import UserError
from . import (
    BATCH_SIZE,
    AnyBoxes,
    Prediction,
    PredictionWriter,
    Predictor,
    Source,
    Unreadable,
    find_sources,
    smooth,
    track,
)
from .drawing import VideoWriter, draw_people

# Keypoints below this score are not drawn: docs/prediction.md has the measured precision.
DRAW_THRESHOLD = 0.3


@dataclass
class PredictionSummary:
    """What :func:`predict` did.

    Attributes:
        images: Number of images and frames.
        persons: Number of persons.
        seconds: Time, without the loading of the model.
        unreadable: Inputs that could not be read.
        unmatched: Boxes of images that are not among the inputs.
        interrupted: Whether Ctrl-C ended it early. The files have all that was done.
    """

    images: int = 0
    persons: int = 0
    seconds: float = 0.0
    unreadable: list[Unreadable] = field(default_factory=list)
    unmatched: int = 0
    interrupted: bool = False


def predict(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    boxes: AnyBoxes = None,
    batch_size: int = BATCH_SIZE,
    device: str = "cpu",
    keypoint_scores: str = "auto",
    draw: bool = True,
    threshold: float = DRAW_THRESHOLD,
    tracking: bool = False,
    smoothing: bool = False,
    progress: bool = True,
) -> PredictionSummary:
    """Predict images and videos and write the results.

    Args:
        config: Config of a top-down estimator, its path, or the name of a packaged one.
        checkpoint: Its weights.
        inputs: See :class:`Predictor`.
        out: Folder for ``results.json`` (COCO), ``predictions.json`` (MMPose), ``predictions.csv`` and the drawings in
            ``drawn/``: a picture for each image, an ``.mp4`` for each video.
        boxes: Person boxes, see :class:`Predictor`.
        batch_size: Number of persons in a batch.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
        keypoint_scores: See :class:`Predictor`.
        draw: Whether to draw.
        threshold: Keypoints with a lower score are not drawn; the files have all.
        tracking: Whether to number the persons of videos, see :func:`track`.
        smoothing: Whether to smooth the keypoints of videos, see :func:`smooth`; it needs tracking.
        progress: Whether to show a progress bar, on the error output.

    Returns:
        Numbers and problems. Ctrl-C ends the prediction; the files have all images and frames until then.

    Raises:
        UserError: If inputs, boxes, config or checkpoint cannot be used, or the folder already has results.
    """
    out = Path(out)
    if (out / "results.json").exists():
        raise UserError(f"{out} already has results: delete it or choose another folder; nothing was changed.")
    if smoothing and not tracking:
        raise UserError("Smoothing needs tracking, but tracking is off: use --track with --smooth.")
    sources = find_sources(inputs)
    predictor = Predictor(config, checkpoint, device, keypoint_scores)
    predictions = predictor.predict_sources(sources, boxes, batch_size, keep_images=draw)
    if tracking:
        predictions = track(predictions)
    if smoothing:
        predictions = smooth(predictions)
    summary = PredictionSummary(unreadable=predictor.unreadable, unmatched=predictor.unmatched)
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
                    if draw:
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
    evaluators = cfg.get("test_evaluator") or []
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
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
