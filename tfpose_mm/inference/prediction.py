"""Predict images and videos, and write drawings and result files: the command ``predict``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config
from tqdm import tqdm

from ..config_files import read_config
from ..datasets.config_data import list_evaluators
from ..errors import UserError
from . import tracking
from .boxes import SCORE_THRESHOLD, AnyBoxes, FromDetector
from .drawing import DrawingWriter
from .predictor import BATCH_SIZE, Predictor
from .sources import find_sources
from .writers import PredictionWriter

# Keypoints below this score are not drawn: docs/prediction.md has the measured precision.
DRAW_THRESHOLD = 0.3


@dataclass
class PredictionSummary:
    """What :func:`predict` did."""

    out: Path  # folder of the results
    notes: Sequence[str]  # sentences on boxes of the file that are left out
    unreadable: list[str]  # a sentence for each input that could not be read
    images: int = 0  # number of images and frames
    persons: int = 0
    seconds: float = 0.0  # without the loading of the model
    interrupted: bool = False  # whether Ctrl-C ended it early; the files have all that was done

    def __str__(self) -> str:
        """A line, and one for each note."""
        line = f"{self.images} images or frames with {self.persons} persons in {self.seconds:.1f} s: {self.out}"
        return "\n".join([line, *self.notes])

    @property
    def errors(self) -> list[str]:
        """A sentence for each problem."""
        return self.unreadable + ["Interrupted: the files contain all results up to this point."] * self.interrupted

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
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> PredictionSummary:
    """Predict keypoints in images, videos or a webcam; write drawings and json files.

    Without boxes or a detector the whole image is one person. The exit status is 3 if a file could not be read (the
    rest is done), and 130 after Ctrl-C (what was done is written).

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        checkpoint: Checkpoint file.
        inputs: One or several: image, folder, glob pattern (in quotes), video, webcam or webcam:1.
        out: Folder for results.json (COCO), predictions.json (MMPose) and the drawings in drawn/: a picture for each
            image, an .mp4 for each video.
        boxes: Person boxes: json file of COCO annotations or detections.
        category: Category id of the boxes in a json file, or number of the detector's class. Defaults to the categories
            with the model's keypoints, else to persons.
        detector: Config of a detector of MMDetection, in place of boxes.
        detector_weights: Checkpoint of the detector.
        box_threshold: Lowest score of a box.
        batch_size: Number of persons in a batch; they come from several images.
        device: cpu, or a GPU as cuda:0.
        keypoint_scores: Kind of keypoint scores; auto: from keypoint maps or heat maps if the model has them.
        drawings: Whether to write drawings.
        threshold: Lowest score of a keypoint that is drawn; the files have all.
        track: Whether to number the persons of videos.
        smooth: Whether to smooth the keypoints of videos; this numbers the persons, too.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        Numbers and problems.

    Raises:
        UserError: If inputs, boxes, config or checkpoint cannot be used, or the folder already has results.
    """
    out = Path(out)
    if out.is_file() or (out / "results.json").exists():
        raise UserError(f"--out must be a folder without results, but {out} has results or is a file: choose another.")
    if bool(detector) != bool(detector_weights) or (detector and boxes is not None):
        raise UserError("A detector needs --detector and --detector-weights, and no --boxes: give both or neither.")
    cfg = read_config(config, cfg_options)
    sources = find_sources(inputs)
    if detector and detector_weights:
        boxes = FromDetector(detector, detector_weights, device, box_threshold, category or 0)
    predictor = Predictor(cfg, checkpoint, device, keypoint_scores)
    predictions = predictor(sources, boxes, batch_size, drawings, box_threshold, category)
    if track or smooth:
        predictions = tracking.track(predictions)
    if smooth:
        predictions = tracking.smooth(predictions)
    summary, start = PredictionSummary(out, predictor.notes, predictor.unreadable), time.monotonic()
    counts = [source.frames for source in sources]
    total = None if None in counts else sum(filter(None, counts))
    metrics = list_evaluators(cfg, ("test_evaluator",))
    coco = next((metric for metric in metrics if metric.get("type") == "CocoMetric"), {})
    writers: list[PredictionWriter | DrawingWriter] = [PredictionWriter(out, predictor.metainfo, coco)]
    if drawings:
        writers.append(DrawingWriter(out / "drawn", predictor.metainfo, threshold))
    with contextlib.ExitStack() as stack:
        for writer in writers:
            stack.callback(writer.close)
        try:
            for prediction in tqdm(predictions, total=total, unit=" images"):
                for writer in writers:
                    writer.write(prediction)
                prediction.image = None
                summary.images += 1
                summary.persons += len(prediction.boxes)
        except KeyboardInterrupt:
            summary.interrupted = True
    summary.seconds = time.monotonic() - start
    return summary
