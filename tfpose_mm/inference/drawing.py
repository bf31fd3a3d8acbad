"""Draw predictions: a picture for each image, a video for each video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .predictor import Prediction

_BOX = (60, 180, 75)  # BGR


class DrawingWriter:
    """Write a ``.jpg`` for each image and an ``.mp4`` for each video; :meth:`close` completes the last video."""

    def __init__(self, folder: Path, metainfo: dict, threshold: float) -> None:
        self.folder, self.metainfo, self.threshold = folder, metainfo, threshold
        self.used: set[str] = set()
        self.video = cv2.VideoWriter()  # opened with the first frame of a video
        self.name: str | None = None

    def write(self, prediction: Prediction) -> None:
        """Draw a prediction that has its image."""
        drawing = draw_prediction(prediction, self.metainfo, self.threshold)
        self.folder.mkdir(parents=True, exist_ok=True)
        if prediction.fps is None:  # an image
            written = cv2.imwrite(self._new_path(prediction.name, ".jpg"), drawing)
        else:
            if prediction.name != self.name:
                self.name, code = prediction.name, cv2.VideoWriter.fourcc(*"mp4v")
                self.video.open(self._new_path(self.name, ".mp4"), code, prediction.fps, prediction.size)
            self.video.write(drawing)
            written = self.video.isOpened()
        if not written:
            raise RuntimeError(f"OpenCV could not write to {self.folder}: check permissions and free disk space.")

    def _new_path(self, name: str, ending: str) -> str:
        """A path that no other input of this run has, as a.jpg of two folders."""
        stem, number = Path(name).stem.replace(":", ""), 1
        path = f"{self.folder}/{stem}{ending}"
        while path in self.used:
            number += 1
            path = f"{self.folder}/{stem}_{number}{ending}"
        self.used.add(path)
        return path

    def close(self) -> None:
        """Complete the last video."""
        self.video.release()


def draw_prediction(prediction: Prediction, metainfo: dict, threshold: float) -> np.ndarray:
    """Draw the keypoints with scores above the threshold, and boxes and numbers if there are: (H, W, 3) uint8 BGR."""
    width = max(1, round(max(prediction.size) / 400))
    visualizer = PoseLocalVisualizer(radius=width + 1, line_width=width)
    visualizer.set_dataset_meta(metainfo)
    sample = PoseDataSample()
    sample.pred_instances = InstanceData(
        keypoints=prediction.keypoints,
        keypoints_visible=prediction.keypoint_scores,  # this is what the visualizer compares with the threshold
    )
    rgb = cv2.cvtColor(np.asarray(prediction.image), cv2.COLOR_BGR2RGB)
    rgb = visualizer.add_datasample("", rgb, sample, draw_gt=False, draw_heatmap=False, kpt_thr=threshold)
    drawn = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for box, number in zip(prediction.boxes, () if prediction.track_ids is None else prediction.track_ids):
        x1, y1, x2, y2 = box.round().astype(int).tolist()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _BOX, width)
        place = max(x1, 0) + 2 * width, max(y1, 0) + 18 * width  # inside the image, whatever the box
        cv2.putText(drawn, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * width, _BOX, width, cv2.LINE_AA)
    return drawn
