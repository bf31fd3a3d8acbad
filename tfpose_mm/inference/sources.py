"""Find and read what is predicted: images, folders, globs, videos, webcams and arrays. Nothing else reads inputs."""

from __future__ import annotations

import glob
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Union

import cv2
import mmcv
import numpy as np

from ..datasets.config_data import LARGEST
from ..errors import UserError

# in a folder, files with these endings are inputs; a file that is named itself may have any ending
# ruff: noqa: SIM905 - two lines in place of thirty
IMAGES = ".avif .bmp .dib .jp2 .jpe .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
VIDEOS = ".3g2 .3gp .asf .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
FPS = 30.0  # of a video or webcam that does not state it
BAD_FRAMES = 100  # a video has ended if so many reads in a row fail


class Source(NamedTuple):
    """Something that has images."""

    name: str  # the path, as it was given or found; "webcam:0" for a webcam, "array_0" for an array
    kind: str  # "image", "video", "webcam" or "array"
    frames: int | None = 1  # number of frames, as the file states it; None if unknown
    fps: float | None = None  # frames per second, None for images
    data: np.ndarray | None = None  # the array


class Frame(NamedTuple):
    """A decoded image or video frame."""

    source: Source
    index: int  # number in the video, from 0; 0 for an image
    image: np.ndarray  # (H, W, 3) uint8 BGR


Input = Union[str, Path, np.ndarray, Source]
Inputs = Union[Input, Sequence[Input]]


def find_sources(inputs: Inputs) -> list[Source]:
    """Find what the inputs name, see :meth:`Predictor.__call__`; a file that is found twice is kept once."""
    listed = inputs if isinstance(inputs, Sequence) and not isinstance(inputs, (str, Source)) else [inputs]
    if not listed:
        raise UserError("Prediction needs at least one input, but got none: name an image, folder, glob or video.")
    found: dict[str, Source] = {}
    for number, item in enumerate(listed):
        if isinstance(item, Source):
            sources = [item]
        elif isinstance(item, (str, Path)) and str(item):
            sources = _find(str(item))
        elif isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.shape[2:] == (3,) and item.size:
            sources = [Source(f"array_{number}", "array", data=item)]
        else:
            got = f"{item.dtype} {item.shape}" if isinstance(item, np.ndarray) else f"a {type(item).__name__}"
            raise UserError(
                "An input must be the path of an image, folder or video, a glob, webcam, or an array (H, W, 3) uint8 "
                f"BGR, but input {number} is {got}: convert it."
            )
        found.update({source.name: source for source in sources if source.name not in found})
    return list(found.values())


def _find(text: str) -> list[Source]:
    path = Path(text).expanduser()
    name, _, number = text.partition(":")
    if name == "webcam" and (not number or number.isdecimal()) and not path.exists():
        return [Source(f"webcam:{number or 0}", "webcam", None, FPS)]
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in IMAGES + VIDEOS]
    else:
        matching = [path] if path.exists() else map(Path, glob.glob(str(path), recursive=True))
        files = [file for file in matching if file.is_file()]
    if not files:
        endings = f"; subfolders are not searched, and the endings must be {', '.join(IMAGES + VIDEOS)}"
        raise UserError(
            f"The input {text} must be webcam, a file, or a folder or glob with images or videos, but there is none: "
            f"check the path{endings if path.is_dir() else ''}."
        )
    return [_describe(file) for file in sorted(files)]


def _describe(path: Path) -> Source:
    name, ending = str(path), path.suffix.lower()
    if ending in IMAGES or (ending not in VIDEOS and cv2.haveImageReader(name)):
        return Source(name, "image")
    capture = _open_video(name)
    frames, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return Source(name, "video", frames if frames > 0 else None, fps if 0 < fps < 1000 else FPS)


def read_frames(sources: Sequence[Source], unreadable: list[str]) -> Iterator[Frame]:
    """Decode each image and each video frame once, in order; append a sentence for each source with faults."""
    for source in sources:
        reason = yield from (_read_video if source.kind in ("video", "webcam") else _read_image)(source)
        if reason:
            unreadable.append(f"{source.name} could not be read: {reason}.")


def _read_image(source: Source) -> Generator[Frame, None, str | None]:
    """Decode an image as MMPose does; return why it cannot be read."""
    try:
        image = mmcv.imread(source.name) if source.data is None else source.data
        pages = 1 if source.data is not None else cv2.imcount(source.name)
    except (OSError, cv2.error) as error:  # OpenCV raises at an empty file, or at a size above its limits
        return getattr(error, "strerror", None) or "it is not an image that OpenCV can decode"
    if image is None:
        return "it is not an image that OpenCV can decode"
    height, width = image.shape[:2]
    if max(height, width) > LARGEST:
        return f"the size is {width} x {height}, but no side may be longer than {LARGEST} pixels"
    if pages > 1:
        return f"it has {pages} frames: save them as images or as a video"
    yield Frame(source, 0, image)
    return None


def _open_video(name: str | int) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it prints a line for each damaged block
    capture = cv2.VideoCapture(name)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # as players turn it; the default of OpenCV depends on the version
    return capture


def _read_video(source: Source) -> Generator[Frame, None, str | None]:
    """Decode a video; return which frames cannot be read."""
    camera = source.kind == "webcam"
    capture = _open_video(int(source.name.partition(":")[2]) if camera else source.name)
    index = decoded = holes = failed = 0  # failed: reads in a row; holes: frames before a later one that was decoded
    try:
        while failed <= (0 if camera else BAD_FRAMES):
            read, image = capture.read()
            if not read:
                failed += 1
                continue
            if failed or holes:  # the place in the video, from the time stamp
                index = max(index, round(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 * (source.fps or FPS)))
            holes, failed = holes + failed, 0
            yield Frame(source, index, image)
            index, decoded = index + 1, decoded + 1
    finally:
        capture.release()
    if decoded == 0:
        return "the camera returns no image" if camera else "it has no frame that OpenCV can decode"
    # the number in the file is estimated in some formats: a small difference without a hole is none
    missing = max(holes, (source.frames or 0) - decoded)
    if holes or missing > max(2, 0.01 * decoded):
        return f"{missing} of its {max(source.frames or 0, decoded + holes)} frames cannot be decoded"
    return None
