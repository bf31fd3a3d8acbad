"""Find and read what is predicted: images, folders, globs, videos, webcams and arrays. Nothing else reads inputs."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Union

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..datasets.image_files import LARGEST
from ..errors import UserError

# in a folder, files with these endings are inputs; a file that is named itself may have any ending
# ruff: noqa: SIM905 - two lines in place of thirty
IMAGES = ".avif .bmp .dib .gif .jp2 .jpe .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()
VIDEOS = ".3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split()
STACKS = (".apng", ".gif", ".png", ".tif", ".tiff", ".webp")  # these may hold several frames
FPS = 30.0  # of a video or webcam that does not state it
BAD_FRAMES = 100  # a video has ended if so many reads in a row fail

Inputs = Union[str, Path, np.ndarray, Iterable[Union[str, Path, np.ndarray]]]


class Source(NamedTuple):
    """Something that has images.

    Attributes:
        name: The path, as it was given or found; ``webcam:0`` for a webcam, ``array_0`` for an array.
        kind: ``"image"``, ``"video"``, ``"webcam"``, ``"stack"`` (an animation, or an image file with several pages),
            ``"array"`` or ``"stream"`` (of arrays or paths).
        frames: Number of frames, as the file states it; ``None`` if unknown.
        fps: Frames per second, ``None`` for images.
        data: The array or the stream.
    """

    name: str
    kind: str
    frames: int | None = 1
    fps: float | None = None
    data: Any = None


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
    """A source that could not be read, or not all of it.

    Attributes:
        name: The name of the source.
        reason: What failed.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        """A sentence."""
        return f"{self.name} could not be read: {self.reason}."


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
    single = isinstance(inputs, (str, Path)) or (isinstance(inputs, np.ndarray) and inputs.ndim < 4)
    if not single and not isinstance(inputs, Iterable):
        raise UserError(_wrong_input(inputs))
    listed = [inputs] if single else list(inputs)
    if not listed:
        raise UserError("Prediction needs at least one input, but got none: name an image, folder, glob or video.")
    found: dict[str, Source] = {}
    for number, item in enumerate(listed):
        if isinstance(item, np.ndarray):
            found[f"array_{number}"] = Source(f"array_{number}", "array", data=check_image(item, f"Input {number}"))
            continue
        if not isinstance(item, (str, Path)) or not str(item):
            raise UserError(_wrong_input(item))
        for source in _find(str(item)):
            found.setdefault(source.name, source)
    return list(found.values())


def _wrong_input(item: object) -> str:
    return (
        "An input must be the path of an image, folder or video, a glob, webcam, or an array (H, W, 3) uint8 BGR, but "
        f"got a {type(item).__name__}: convert it."
    )


def check_image(image: object, what: str) -> np.ndarray:
    """Check that an array is an image.

    Args:
        image: The array.
        what: Name of the array, for the message.

    Returns:
        The image, (H, W, 3) uint8.

    Raises:
        UserError: If it is something else.
    """
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size
    ):
        return image
    got = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
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
    ending = path.suffix.lower()
    if ending in STACKS:
        frames, fps = _count_pages(path)
        if frames > 1:
            return Source(str(path), "stack", frames, fps)
    if ending not in VIDEOS and (ending in IMAGES or cv2.haveImageReader(str(path))):
        return Source(str(path), "image")
    capture = _open_video(str(path))
    opened, frames, fps = capture.isOpened(), int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    if not opened and ending not in VIDEOS:
        return Source(str(path), "image")  # it will be listed as unreadable
    return Source(str(path), "video", frames if frames > 0 else None, fps if 0 < fps < 1000 else FPS)


def _count_pages(path: Path) -> tuple[int, float | None]:
    """Number of frames of an image file, and frames per second of an animation."""
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                image.load()  # Pillow reads the duration of a WebP with the first frame
            duration = image.info.get("duration") if frames > 1 else None
    except Exception:  # a broken file raises any kind of error; reading it will name it
        return 1, None
    return frames, 1000 / duration if duration else None


def read_frames(sources: Sequence[Source], unreadable: list[Unreadable]) -> Iterator[Frame]:
    """Decode each image and each video frame once, one at a time.

    Args:
        sources: From :func:`find_sources`.
        unreadable: Sources that cannot be read, or not wholly, are appended; all others are read nevertheless.

    Yields:
        The frames that can be decoded, in order.
    """
    readers = {"image": _read_image, "array": _read_array, "stack": _read_stack, "stream": _read_stream}
    for source in sources:
        too_long = []
        for frame in readers.get(source.kind, _read_video)(source, unreadable):
            if max(frame.image.shape[:2]) <= LARGEST:
                yield frame
            else:
                too_long.append(frame.image.shape[1::-1])
        if too_long:
            size = "{} x {}".format(*too_long[0])
            number = "" if source.kind in ("image", "array") else f" of {len(too_long)} of its frames"
            reason = f"the size{number} is {size}, but no side may be longer than {LARGEST} pixels"
            unreadable.append(Unreadable(source.name, reason))


def _read_image(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
    try:
        yield Frame(source, 0, _decode(source.name))
    except OSError as error:
        unreadable.append(
            Unreadable(source.name, error.strerror or "it is not an image that OpenCV or Pillow can decode")
        )


def _decode(name: str) -> np.ndarray:
    """Decode with OpenCV, as MMPose does, else with Pillow; both turn an image as its EXIF data say.

    Raises:
        OSError: If neither can decode it.
    """
    data = np.fromfile(name, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # for example if the header gives a size above OpenCV's limits
        image = None
    if image is not None and not _has_32_bits(name):
        return image
    try:
        with Image.open(name) as file:
            return _to_bgr(file)
    except Exception as error:  # a broken file raises any kind of error
        raise OSError(errno.EINVAL, getattr(error, "strerror", None)) from error


def _has_32_bits(name: str) -> bool:
    """OpenCV cuts the values of such a .tif at 0 and 255."""
    if not name.lower().endswith((".tif", ".tiff")):
        return False
    try:
        with Image.open(name) as image:
            return image.mode in ("F", "I")
    except Exception:  # what Pillow cannot open, OpenCV has decoded
        return False


def _read_array(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
    yield Frame(source, 0, source.data)


def _read_stream(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
    index = 0
    while True:
        try:
            image = next(source.data)
        except StopIteration:
            return
        except Exception as error:  # the frames that wait for their batch must not be lost
            unreadable.append(
                Unreadable(source.name, f"after {index} images it raised {type(error).__name__}: {error}")
            )
            return
        try:
            if isinstance(image, (str, Path)):
                yield from read_frames(find_sources(image), unreadable)
            else:
                yield Frame(source, index, check_image(image, f"image {index}"))
        except UserError as error:
            unreadable.append(Unreadable(source.name, str(error).rstrip(".")))
        index += 1


def _read_stack(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
    missing, reason = 0, ""
    for index in range(source.frames or 0):
        try:
            with Image.open(source.name) as file:
                file.seek(index)
                page = _to_bgr(file)
        except Exception as error:  # a broken file raises any kind of error
            missing, reason = missing + 1, getattr(error, "strerror", None) or str(error) or type(error).__name__
            continue
        yield Frame(source, index, page)
    if missing:
        text = f"{missing} of its {source.frames} frames cannot be decoded ({reason})"
        unreadable.append(Unreadable(source.name, text))


def _to_bgr(image: Image.Image) -> np.ndarray:
    """A page of Pillow as OpenCV decodes it: turned by EXIF, 8 bits.

    Raises:
        OSError: If the values have 32 bits, whose range is not known.
    """
    if image.mode in ("F", "I"):
        raise OSError(errno.EINVAL, "it has 32 bits per value: convert it to 8 bits")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[..., ::-1])


def _open_video(name: str | int) -> cv2.VideoCapture:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it prints a line for each damaged block
    capture = cv2.VideoCapture(name)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # as players turn it; the default of OpenCV depends on the version
    return capture


def _read_video(source: Source, unreadable: list[Unreadable]) -> Iterator[Frame]:
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
        what = "the camera returns no image" if camera else "it has no frame that OpenCV can decode"
        unreadable.append(Unreadable(source.name, what))
    elif holes or missing > max(2, 0.01 * decoded):
        text = f"{missing} of its {max(source.frames or 0, decoded + holes)} frames cannot be decoded"
        unreadable.append(Unreadable(source.name, text))
