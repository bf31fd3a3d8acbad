"""Draw predicted persons on images, and write videos."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

_BOX, _TEXT = (60, 180, 75), (255, 255, 255)


def draw_people(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    boxes: np.ndarray,
    metainfo: dict,
    threshold: float,
    labels: Sequence[str] = (),
) -> np.ndarray:
    """Draw the skeletons of persons.

    Args:
        image: (H, W, 3) uint8 BGR; it is not changed.
        keypoints: (P, K, 2), (x, y) in pixels of the image.
        scores: (P, K); keypoints with a lower score than the threshold are not drawn.
        boxes: (P, 4), x1, y1, x2, y2 in pixels of the image; drawn only with labels.
        metainfo: MMPose's metainfo: skeleton links, colours, names.
        threshold: See scores.
        labels: A text for each person, above its box.

    Returns:
        The drawing, (H, W, 3) uint8 BGR.
    """
    width = max(1, round(max(image.shape[:2]) / 400))
    drawn = np.ascontiguousarray(image)
    if len(keypoints):
        visualizer = PoseLocalVisualizer(radius=width + 1, line_width=width)
        visualizer.set_dataset_meta(metainfo)
        sample = PoseDataSample()
        # MMPose's visualizer compares keypoints_visible with the threshold
        sample.pred_instances = InstanceData(keypoints=np.asarray(keypoints), keypoints_visible=np.asarray(scores))
        rgb = visualizer.add_datasample(
            "", cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB), sample, draw_gt=False, draw_heatmap=False, kpt_thr=threshold
        )
        drawn = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for box, label in zip(boxes, labels):
        _draw_label(drawn, box.round().astype(int), label, width)
    return drawn


def _draw_label(image: np.ndarray, box: np.ndarray, label: str, width: int) -> None:
    x1, y1, x2, y2 = (int(value) for value in box)
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
        self.size = size
        self.process = None
        program = shutil.which("ffmpeg")
        if program and _has_h264(program):
            raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6g}", "-i", "-"]
            # players need even sizes
            coded = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20"]
            command = [program, "-y", "-loglevel", "error", *raw, *coded, "-movflags", "+faststart", str(path)]
            # in a session of its own: Ctrl-C in the terminal must not end it before the last frame is written
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        else:
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
        """Finish the file.

        Raises:
            RuntimeError: If ffmpeg failed.
        """
        if self.process is None or self.process.stdin is None:
            self.writer.release()
            return
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise RuntimeError("ffmpeg could not write the video: see its message above.")


def _has_h264(program: str) -> bool:
    encoders = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    return "libx264" in encoders.stdout
