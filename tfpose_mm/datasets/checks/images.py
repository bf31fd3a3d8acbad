"""Decode images as the pipeline does, and note what a training does not."""

from __future__ import annotations

import hashlib
import io
from typing import Any, NamedTuple

import cv2
import mmcv
import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x112
DIGEST_SIZE = 16
HASH_SIZE = (17, 16)  # width, height: 16 x 16 comparisons of neighbours
PNG_START, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"


class ImageLoader(NamedTuple):
    """How a pipeline's ``LoadImage`` decodes.

    Attributes:
        color_type: MMCV's flag.
        backend: MMCV's decoder.
    """

    color_type: str = "color"
    backend: str = "cv2"


class ImageRecord(NamedTuple):
    """What an image file contains.

    Attributes:
        size: Width and height in pixels after decoding, with the rotation of EXIF if the decoder applies it; ``None``
            if the image cannot be decoded.
        error: Why it cannot be decoded; ``"missing"`` for a missing file.
        stored_size: Width and height in pixels in the file, before the rotation.
        orientation: EXIF orientation, 1 to 8; 1 without one.
        mode: Pillow's mode, as ``"RGB"``.
        truncated: Whether the end of the image is missing.
        bits: Bits of a channel, 8 or 16.
        transparent: Whether a pixel is transparent.
        brightest: Highest value of the decoded image.
        digest: Hash of the file.
        look: Hash (32 bytes) of the decoded image; ``None`` for an image without structure.
    """

    size: tuple[int, int] | None
    error: str = ""
    stored_size: tuple[int, int] | None = None
    orientation: int = 1
    mode: str = ""
    truncated: bool = False
    bits: int = 8
    transparent: bool = False
    brightest: int = 255
    digest: bytes = b""
    look: bytes | None = None


def load_settings(pipeline: list[dict[str, Any]]) -> ImageLoader:
    """Read the arguments of the pipeline's ``LoadImage``."""
    for step in pipeline:
        if str(step.get("type")).rpartition(".")[2] == "LoadImage":
            return ImageLoader(step.get("color_type", "color"), step.get("imdecode_backend", "cv2"))
    return ImageLoader()


def inspect_image(path: str, loader: ImageLoader) -> ImageRecord:
    """Read, decode and describe an image.

    Args:
        path: The file.
        loader: How to decode.

    Returns:
        The record.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return ImageRecord(None, "missing")
    except (OSError, ValueError) as error:
        return ImageRecord(None, str(error))
    digest = hashlib.blake2b(content, digest_size=DIGEST_SIZE).digest()
    image, error = _decode(content, loader)
    if image is None:
        return ImageRecord(None, error, digest=digest)
    described = _describe(content)
    size = (image.shape[1], image.shape[0])
    return ImageRecord(size, "", digest=digest, brightest=int(image.max()), look=_look(image), **described)


def _decode(content: bytes, loader: ImageLoader) -> tuple[np.ndarray | None, str]:
    if not content:
        return None, "the file is empty"
    try:
        image = mmcv.imfrombytes(content, flag=loader.color_type, backend=loader.backend)
    except (cv2.error, OSError, ValueError, SyntaxError, TypeError) as error:
        return None, f"{type(error).__name__}: {error}".strip().split("\n")[0][:200]
    if image is None or not image.size:
        cut = content.startswith(JPEG_START) and not _is_complete(content)
        return None, "its end is missing" if cut else f"{loader.backend} cannot decode it"
    return image, ""


def _describe(content: bytes) -> dict[str, Any]:
    """Read what only Pillow tells; a format that Pillow does not know has no description."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            found = dict(mode=image.mode, stored_size=image.size)
            found["orientation"] = int(image.getexif().get(EXIF_ORIENTATION) or 1)
            is_png = content.startswith(PNG_START)
            found["bits"] = 16 if image.mode.startswith("I") or (is_png and content[24] == 16) else 8
            found["truncated"] = not _is_complete(content) and _is_truncated(image)
            if image.mode in ("RGBA", "LA") and not found["truncated"]:
                found["transparent"] = image.getchannel("A").getextrema()[0] < 255
            return found
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return {}


def _is_complete(content: bytes) -> bool:
    """Whether a JPEG ends with its end marker; some decoders fill the missing rows of a cut JPEG without an error."""
    return content.startswith(JPEG_START) and JPEG_END in content[-32:]


def _is_truncated(image: Image.Image) -> bool:
    try:
        image.load()
    except (OSError, SyntaxError):
        return True
    return False


def _look(image: np.ndarray) -> bytes | None:
    """Difference hash: for 16 x 16 places, whether the image gets brighter to the right."""
    small = cv2.resize(image, HASH_SIZE, interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else small.astype(np.float32).mean(2)
    step = np.diff(grey.astype(np.float32), axis=1)
    return np.packbits(step > 0).tobytes() if (np.abs(step) > 1).mean() > 0.5 else None
