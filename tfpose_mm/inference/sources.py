"""Find and read what is predicted: images, folders, globs, videos and webcams."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import UserError

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
FPS = 30.0  # of a video or webcam that does not state it


class Source(NamedTuple):
    """An image file, a video file or a webcam.

    Attributes:
        name: The path, as it was given or found; ``webcam:0`` for a webcam.
        kind: ``"image"``, ``"video"`` or ``"webcam"``.
        frames: Number of frames, as the file states it; ``None`` if unknown.
        fps: Frames per second, ``None`` for an image.
    """

    name: str
    kind: str
    frames: int | None = 1
    fps: float | None = None


class Frame(NamedTuple):
    """A decoded image or video frame.

    Attributes:
        source: Where it is from.
        index: Number in the video, from 0; 0 for an image.
        image: (H, W, 3) uint8 BGR.
    """

    source: Source
    index: int
    image: np.ndarray


class Unreadable(NamedTuple):
    """A source that could not be read.

    Attributes:
        name: The name of the source.
        reason: What failed.
    """

    name: str
    reason: str


def find_sources(inputs: str | Path | Sequence[str | Path]) -> list[Source]:
    """Find what the inputs name.

    Args:
        inputs: One or several: an image or video file, a folder (its images and videos, without subfolders, sorted by
            name), a glob as ``images/*_left.jpg``, or ``webcam`` and ``webcam:1``.

    Returns:
        The sources, in the order of the inputs; a file that is found twice is kept once.

    Raises:
        UserError: If a file does not exist, or a folder or glob has no image or video.
    """
    inputs = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    if not inputs:
        raise UserError("Prediction needs at least one input, but got none: name an image, folder, glob or video.")
    found: dict[str, Source] = {}
    for text in map(str, inputs):
        for source in _find(text):
            found.setdefault(source.name, source)
    return list(found.values())


def _find(text: str) -> list[Source]:
    path = Path(text).expanduser()
    name, _, number = text.partition(":")
    if name == "webcam" and (not number or number.isdecimal()) and not path.exists():
        return [Source(f"webcam:{number or 0}", "webcam", None, FPS)]
    if path.is_dir():
        paths = [file for file in sorted(path.iterdir()) if file.suffix.lower() in IMAGES + VIDEOS]
        if not paths:
            raise UserError(
                f"The folder {text} must contain images or videos, but has none: known endings are "
                f"{', '.join(IMAGES + VIDEOS)}; subfolders are not searched."
            )
    elif path.is_file():
        paths = [path]
    elif glob.has_magic(text):
        paths = [file for file in map(Path, sorted(glob.glob(str(path), recursive=True))) if file.is_file()]
        if not paths:
            raise UserError(f"The pattern {text} must match files, but matches none: check the pattern.")
    else:
        raise UserError(f"The input {text} does not exist: give an image, folder, glob, video or webcam.")
    return [_describe(file) for file in paths]


def _describe(path: Path) -> Source:
    if path.suffix.lower() not in VIDEOS:
        return Source(str(path), "image")
    capture = cv2.VideoCapture(str(path))
    frames, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return Source(str(path), "video", frames if frames > 0 else None, fps if fps > 0 else FPS)


def read_frames(sources: Sequence[Source], unreadable: list[Unreadable]) -> Iterator[Frame]:
    """Decode each image and each video frame once, one at a time.

    Args:
        sources: From :func:`find_sources`.
        unreadable: Sources that cannot be read are appended; the others are read nevertheless.

    Yields:
        The frames, in order.
    """
    for source in sources:
        if source.kind == "image":
            image = _decode(source.name)
            if image is None:
                unreadable.append(Unreadable(source.name, "it is not an image that OpenCV can decode"))
            else:
                yield Frame(source, 0, image)
        else:
            yield from _read_video(source, unreadable)


def _decode(name: str) -> np.ndarray | None:
    try:
        data = np.fromfile(name, np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None


def _read_video(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
    camera = source.kind == "webcam"
    capture = cv2.VideoCapture(int(source.name.partition(":")[2]) if camera else source.name)
    index = 0
    try:
        while True:
            read, image = capture.read()
            if not read:
                break
            yield Frame(source, index, image)
            index += 1
    finally:
        capture.release()
    if index == 0:
        what = "the camera returns no image" if camera else "it has no frame that OpenCV can decode"
        unreadable.append(Unreadable(source.name, what))
