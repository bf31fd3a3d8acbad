"""Find and read what is predicted: images, folders, globs, videos, webcams and arrays. Nothing else reads inputs."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Union

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..datasets.config_data import LARGEST
from ..errors import UserError

# in a folder, files with these endings are inputs; a file that is named itself may have any ending
# ruff: noqa: SIM905 - two lines in place of thirty
IMAGES = ".avif .bmp .dib .gif .jp2 .jpe .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
VIDEOS = ".3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
STACKS = (".apng", ".gif", ".png", ".tif", ".tiff", ".webp")  # these may hold several frames
FPS = 30.0  # of a video or webcam that does not state it
SINGLE = ("image", "array")  # kinds of sources with one image
BAD_FRAMES = 100  # a video has ended if so many reads in a row fail


class Source(NamedTuple):
    """Something that has images."""

    name: str  # the path, as it was given or found; "webcam:0" for a webcam, "array_0" for an array
    kind: str  # "image", "video", "webcam", "stack" (an animation, several pages), "array" or "stream" (an iterator)
    frames: int | None = 1  # number of frames, as the file states it; None if unknown
    fps: float | None = None  # frames per second, None for images
    data: Any = None  # the array or the stream


class Frame(NamedTuple):
    """A decoded image or video frame."""

    source: Source
    index: int  # number in the video, from 0; 0 for an image
    image: np.ndarray  # (H, W, 3) uint8 BGR


Inputs = Union[str, Path, np.ndarray, Iterable[Union[str, Path, np.ndarray, Source]]]


def find_sources(inputs: Inputs) -> list[Source]:
    """Find what the inputs name.

    Args:
        inputs: One or several: an image or video file, a folder (its images and videos, without subfolders, sorted by
            name), a glob as ``images/*_left.jpg``, ``webcam`` or ``webcam:1``, or an array (H, W, 3) uint8 BGR. An
            iterator of arrays or paths, such as a generator, is read while it is predicted.

    Returns:
        The sources, in the order of the inputs; a file that is found twice is kept once.

    Raises:
        UserError: If a file does not exist, a folder or glob has no image or video, or an input is something else.
    """
    if isinstance(inputs, Iterator):
        return [Source("stream", "stream", None, None, inputs)]
    is_list = isinstance(inputs, Iterable) and not isinstance(inputs, str) and getattr(inputs, "ndim", 4) >= 4
    listed = list(inputs) if is_list else [inputs]  # an array (N, H, W, 3) is a list of images
    if not listed:
        raise UserError("Prediction needs at least one input, but got none: name an image, folder, glob or video.")
    found: dict[str, Source] = {}
    for number, item in enumerate(listed):
        if isinstance(item, np.ndarray):
            sources = [Source(f"array_{number}", "array", data=check_image(item, f"Input {number}"))]
        elif isinstance(item, (str, Path)) and str(item):
            sources = _find(str(item))
        elif isinstance(item, Source):
            sources = [item]
        else:
            raise UserError(
                "An input must be the path of an image, folder or video, a glob, webcam, or an array (H, W, 3) uint8 "
                f"BGR, but got a {type(item).__name__}: convert it."
            )
        for source in sources:
            found.setdefault(source.name, source)
    return list(found.values())


def check_image(image: object, what: str) -> np.ndarray:
    """Return an array if it is an image, (H, W, 3) uint8.

    Raises:
        UserError: If it is something else; ``what`` is its name in the message.
    """
    is_array = isinstance(image, np.ndarray)
    if is_array and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
        return image
    got = f"{image.dtype} of shape {image.shape}" if is_array else f"a {type(image).__name__}"
    raise UserError(f"{what} must be an array (H, W, 3) of uint8 in the order BGR, but is {got}: convert it.")


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
    """Images with several frames and videos are known by their content."""
    name, ending = str(path), path.suffix.lower()
    if ending in STACKS:
        with contextlib.suppress(Exception), Image.open(path) as image:  # reading a broken file will name it
            if getattr(image, "n_frames", 1) > 1:
                image.load()  # Pillow reads the duration of a WebP with the first frame
                duration = image.info.get("duration")
                return Source(name, "stack", image.n_frames, 1000 / duration if duration else None)
    if ending not in VIDEOS and (ending in IMAGES or cv2.haveImageReader(name)):
        return Source(name, "image")
    capture = _open_video(name)
    opened, frames, fps = capture.isOpened(), int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if not opened and ending not in VIDEOS:
        return Source(name, "image")  # it will be listed as unreadable
    return Source(name, "video", frames if frames > 0 else None, fps if 0 < fps < 1000 else FPS)


def read_frames(sources: Sequence[Source], unreadable: list[str]) -> Iterator[Frame]:
    """Decode each image and each video frame once, one at a time.

    Args:
        sources: From :func:`find_sources`.
        unreadable: A sentence is appended for each source that cannot be read, or not wholly; all others are read.

    Yields:
        The frames that can be decoded, in order.
    """
    for source in sources:
        if source.kind == "stream":
            yield from _read_stream(source, unreadable)
            continue
        reasons: list[str] = []
        yield from (_read_video if source.kind in ("video", "webcam") else _read_pages)(source, reasons)
        unreadable += [f"{source.name} could not be read: {reason}." for reason in reasons]


def _read_stream(source: Source, unreadable: list[str]) -> Iterator[Frame]:
    for index in itertools.count():
        try:
            item = next(source.data)
        except StopIteration:
            return
        except Exception as error:  # the frames that wait for their batch must not be lost
            reason = f"after {index} images it raised {type(error).__name__}: {error}"
            unreadable.append(f"{source.name} could not be read: {reason}.")
            return
        try:
            if isinstance(item, (str, Path)):
                yield from read_frames(find_sources(item), unreadable)
            else:
                image = Source(source.name, "array", data=check_image(item, f"image {index}"))
                yield from (frame._replace(index=index) for frame in read_frames([image], unreadable))
        except UserError as error:
            unreadable.append(f"{source.name} could not be read: {error}")


def _read_pages(source: Source, reasons: list[str]) -> Iterator[Frame]:
    """An array, an image, or the pages of a stack."""
    errors = []
    for index in range(source.frames or 0):
        try:
            image = source.data if source.kind == "array" else _decode(source, index)
            height, width = image.shape[:2]
            if max(height, width) > LARGEST:
                raise OSError(0, f"the size is {width} x {height}, but no side may be longer than {LARGEST} pixels")
        except Exception as error:  # a broken file raises any kind of error
            errors.append(getattr(error, "strerror", None) or "it is not an image that OpenCV or Pillow can decode")
        else:
            yield Frame(source, index, image)
    if errors:
        number = f"{len(errors)} of its {source.frames} frames cannot be decoded ({errors[-1]})"
        reasons.append(errors[-1] if source.kind in SINGLE else number)


def _decode(source: Source, page: int) -> np.ndarray:
    """Decode with OpenCV, as MMPose does, else with Pillow; both turn an image as its EXIF data say.

    Raises:
        OSError: If neither can decode it, or if the values have 32 bits: OpenCV and Pillow cut them at 0 and 255.
    """
    image, is_deep = None, False
    if source.kind == "image":
        data = np.fromfile(source.name, np.uint8)
        with contextlib.suppress(cv2.error):  # an empty file, or a header that gives a size above OpenCV's limits
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
            if image is not None and source.name.lower().endswith((".tif", ".tiff")):
                raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
                is_deep = raw is not None and raw.dtype.itemsize > 2
    if image is None:
        with Image.open(source.name) as file:
            file.seek(page)
            is_deep = file.mode in ("F", "I")
            if file.mode.startswith("I;16"):
                file = Image.fromarray((np.asarray(file) // 257).astype(np.uint8))
            image = np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(file).convert("RGB"))[..., ::-1])
    if is_deep:
        raise OSError(0, "it has 32 bits per value: convert it to 8 bits")
    return image


def _open_video(name: str | int) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it prints a line for each damaged block
    capture = cv2.VideoCapture(name)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # as players turn it; the default of OpenCV depends on the version
    return capture


def _read_video(source: Source, reasons: list[str]) -> Iterator[Frame]:
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
    # the number in the file is estimated in some formats: a small difference without a hole is none
    missing = max(holes, (source.frames or 0) - decoded)
    if decoded == 0:
        reasons.append("the camera returns no image" if camera else "it has no frame that OpenCV can decode")
    elif holes or missing > max(2, 0.01 * decoded):
        reasons.append(f"{missing} of its {max(source.frames or 0, decoded + holes)} frames cannot be decoded")
