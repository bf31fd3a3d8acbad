"""Draw predictions: a picture for each image, a video for each video."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .predictor import Prediction

_BOX, _TEXT = (60, 180, 75), (255, 255, 255)


class DrawingWriter:
    """Write a ``.jpg`` for each image and an ``.mp4`` for each video; :meth:`close` completes the last video.

    Args:
        folder: Where the files go; it is made with the first one.
        metainfo: MMPose's metainfo of the keypoints.
        threshold: Keypoints with a lower score are not drawn.
    """

    def __init__(self, folder: Path, metainfo: dict, threshold: float) -> None:
        self.folder, self.metainfo, self.threshold = folder, metainfo, threshold
        self.used: set[str] = set()
        self.video: VideoWriter | None = None
        self.name: str | None = None

    def write(self, prediction: Prediction) -> None:
        """Draw a prediction that has its image.

        Raises:
            RuntimeError: If the file cannot be written.
        """
        drawing = draw_prediction(prediction, self.metainfo, self.threshold)
        self.folder.mkdir(parents=True, exist_ok=True)
        if prediction.fps is None:  # an image
            path = self._new_path(prediction.name, ".jpg")
            if not cv2.imwrite(str(path), drawing):
                raise RuntimeError(f"OpenCV could not write {path}: check permissions and free disk space.")
            return
        if prediction.name != self.name or self.video is None:
            self.close()
            self.name = prediction.name
            self.video = VideoWriter(self._new_path(self.name, ".mp4"), prediction.fps, prediction.size)
        self.video.write(drawing)

    def _new_path(self, name: str, ending: str) -> Path:
        """A path that no other input of this run has, as a.jpg of two folders."""
        stem = Path(name).stem.replace(":", "")
        path, number = self.folder / f"{stem}{ending}", 1
        while path.name in self.used:
            number += 1
            path = self.folder / f"{stem}_{number}{ending}"
        self.used.add(path.name)
        return path

    def close(self) -> None:
        """Complete the last video."""
        if self.video is not None:
            self.video.close()
            self.video = None


def draw_prediction(prediction: Prediction, metainfo: dict, threshold: float) -> np.ndarray:
    """Draw the skeletons of persons, and their boxes and numbers if they have numbers.

    Args:
        prediction: A prediction with its image, which is not changed.
        metainfo: MMPose's metainfo: skeleton links, colours, names.
        threshold: Keypoints with a lower score are not drawn.

    Returns:
        The drawing, (H, W, 3) uint8 BGR.
    """
    width = max(1, round(max(prediction.size) / 400))
    drawn = np.ascontiguousarray(prediction.image)
    if len(prediction.keypoints):
        visualizer = PoseLocalVisualizer(radius=width + 1, line_width=width)
        visualizer.set_dataset_meta(metainfo)
        sample = PoseDataSample()
        sample.pred_instances = InstanceData(
            keypoints=prediction.keypoints,
            keypoints_visible=prediction.keypoint_scores,  # this is what the visualizer compares with the threshold
        )
        rgb = cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB)
        rgb = visualizer.add_datasample("", rgb, sample, draw_gt=False, draw_heatmap=False, kpt_thr=threshold)
        drawn = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for box, number in zip(prediction.boxes, () if prediction.track_ids is None else prediction.track_ids):
        _draw_label(drawn, box, f"person {number}", width)
    return drawn


def _draw_label(image: np.ndarray, box: np.ndarray, label: str, width: int) -> None:
    x1, y1, x2, y2 = box.round().astype(int).tolist()
    cv2.rectangle(image, (x1, y1), (x2, y2), _BOX, width)
    scale = 0.4 + 0.15 * width
    (text_width, height), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, width)
    x = min(max(x1, 0), max(image.shape[1] - text_width - 2, 0))  # inside the image, whatever the box
    y = max(y1, height + below)
    cv2.rectangle(image, (x, y - height - below), (x + text_width + 2, y), _BOX, cv2.FILLED)
    cv2.putText(image, label, (x + 1, y - below // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, width, cv2.LINE_AA)


class VideoWriter:
    """Write a video: H.264, which browsers play, if an ffmpeg with libx264 is installed; else MPEG-4 with OpenCV.

    Args:
        path: The ``.mp4`` file; it is replaced.
        fps: Frames per second.
        size: Width and height, in pixels.

    Raises:
        RuntimeError: If OpenCV cannot write the file.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self.process = None
        program = shutil.which("ffmpeg")
        encoders = [program or "", "-hide_banner", "-encoders"]
        if program and "libx264" in subprocess.run(encoders, capture_output=True, text=True, check=False).stdout:
            raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6g}", "-i", "-"]
            # players need even sizes
            coded = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20"]
            command = [program, "-y", "-loglevel", "error", *raw, *coded, "-movflags", "+faststart", str(path)]
            # in a session of its own: Ctrl-C in the terminal must not end it before the last frame is written
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
            return
        self.writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self.writer.isOpened():
            raise RuntimeError(f"OpenCV could not write {path}: check permissions and free disk space.")

    def write(self, image: np.ndarray) -> None:
        """Append a frame, (H, W, 3) uint8 BGR."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.write(np.ascontiguousarray(image).tobytes())
        else:
            self.writer.write(image)

    def close(self) -> None:
        """Complete the file.

        Raises:
            RuntimeError: If ffmpeg failed.
        """
        if self.process is None:
            self.writer.release()
            return
        self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError("ffmpeg could not write the video: see its message above.")
