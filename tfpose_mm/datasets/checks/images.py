"""Faults of images: missing, unreadable, cut, rotated by EXIF, of another size than the file says, copies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
from PIL import Image

from ..findings import REFUSED, SKIPPED, WARNING, Finding
from ..image_files import LARGEST, missing_image

EXIF_ORIENTATION = 0x112
PILLOW_ERRORS = (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError)
PNG_START, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
COPY = "download or copy the image again, or delete its annotations"
EXIF_FIX = "save the image without an EXIF orientation, or set color_type='color_ignore_orientation' of LoadImage"

Fault = tuple[str, str, str]  # check, severity, sentence without its subject


class ImageEntry(NamedTuple):
    """An image that a data set uses.

    Attributes:
        row: Index in ``images`` of the annotation file; ``None`` in other formats than COCO's.
        path: The file.
        size: Width and height in pixels by the annotation file, ``None`` if it does not say.
    """

    row: int | None
    path: str
    size: tuple[float, float] | None

    def finding(self, file: str, check: str, severity: str, detail: str) -> Finding:
        """Make a finding of this image in an annotation file; ``detail`` is a sentence without its subject."""
        if self.row is None:
            return Finding(check, severity, self.path, None, detail)
        return Finding(check, severity, file, self.row, f"in 'images', {self.path} {detail}")


def inspect_image(entry: ImageEntry, color_type: str, backend: str) -> tuple[bytes, list[Fault]]:
    """Read an image, decode it as LoadImage does, and find its faults.

    Args:
        entry: The image.
        color_type: That of LoadImage.
        backend: The ``imdecode_backend`` of LoadImage.

    Returns:
        A hash of the file, empty if the image cannot be decoded; and the faults.
    """
    try:
        content = Path(entry.path).read_bytes()
        image = mmcv.imfrombytes(content, flag=color_type, backend=backend) if content else None
    except FileNotFoundError:
        return b"", [("image_missing", SKIPPED, "must exist, but does not")]
    except (cv2.error, OSError, ValueError, SyntaxError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".strip().split("\n")[0][:200]
        return b"", [
            ("image_unreadable", REFUSED, f"must be a readable image, but decoding fails with {reason}: {COPY}")
        ]
    if image is None or not image.size:
        cut = content.startswith(JPEG_START) and not _is_complete_jpeg(content)
        reason = "its end is missing" if cut else f"{backend} cannot decode it" if content else "the file is empty"
        return b"", [("image_unreadable", REFUSED, f"must be a readable image, but {reason}: {COPY}")]
    size = (image.shape[1], image.shape[0])
    return hashlib.blake2b(content, digest_size=16).digest(), [*_faults(content, size, entry.size or size)]


def _faults(content: bytes, size: tuple[int, int], expected: tuple[float, float]) -> Iterator[Fault]:
    """Faults of an image that can be decoded: its file, its decoded size, and the size by the annotation file."""
    stored, orientation, mode, truncated, transparent = size, 1, "", False, False
    with suppress(*PILLOW_ERRORS), Image.open(io.BytesIO(content)) as image:
        stored, mode = image.size, image.mode
        orientation = int(image.getexif().get(EXIF_ORIENTATION) or 1)
        truncated = not _is_complete_jpeg(content) and _is_truncated(image)
        transparent = mode in ("RGBA", "LA") and not truncated and image.getchannel("A").getextrema()[0] < 255
    is_turned = orientation >= 5 and size == stored[::-1] != stored
    has_16_bits = mode.startswith("I") or (content.startswith(PNG_START) and content[24] == 16)
    should = f"should have the size of the annotation file, {_text(expected)}, but"
    if is_turned and expected == stored:
        detail = (
            f"{should} LoadImage turns it by its EXIF orientation {orientation} to {_text(size)}, so that the labels"
        )
        yield "image_exif_rotated", WARNING, f"{detail} are on the unturned image: {EXIF_FIX}"
    elif expected != size:
        fix = "correct width and height, or scale the annotations, or use the image for which they were made"
        yield "image_size", WARNING, f"{should} has {_text(size)}: {fix}"
    elif orientation != 1 and (orientation < 5 or stored[0] == stored[1]):
        detail = (
            f"should have no EXIF orientation, but has {orientation}, and the size does not show whether the labels"
        )
        fix = f"look at a drawing; if they are not, {EXIF_FIX}"
        yield "image_exif_orientation", WARNING, f"{detail} are those of the turned image: {fix}"
    if truncated:
        detail = "should be complete, but its end is missing, and the training sees grey or black rows"
        yield "image_truncated", WARNING, f"{detail}: {COPY}"
    if max(size) > LARGEST:
        detail = (
            f"must have no side longer than {LARGEST} pixels, which OpenCV's warpAffine needs, but is {_text(size)}"
        )
        yield "image_too_long", REFUSED, f"{detail}: scale or cut it"
    if mode == "CMYK":
        detail = "should be RGB or grey, but is CMYK, whose colours decoders convert differently: save it as RGB"
        yield "image_cmyk", WARNING, detail
    if has_16_bits:
        detail = "should have 8 bits per channel, but has 16, of which LoadImage keeps the upper 8: save it with 8 bits"
        yield "image_16_bit", WARNING, detail
    if transparent:
        detail = "should have no transparent pixels, but has, and LoadImage shows the colours behind them"
        yield "image_transparent", WARNING, f"{detail}: save it without alpha"


def _is_complete_jpeg(content: bytes) -> bool:
    """Whether a JPEG ends with its end marker; some decoders fill the missing rows of a cut JPEG without an error."""
    return content.startswith(JPEG_START) and JPEG_END in content[-32:]


def _is_truncated(image: Image.Image) -> bool:
    try:
        image.load()
    except (OSError, SyntaxError):
        return True
    return False


def _text(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"


def check_images(
    entries: list[ImageEntry],
    inspected: list[tuple[bytes, list[Fault]]],
    file: str,
    folder: str,
    training_only: bool,
    trained: Mapping[bytes, str],
) -> list[Finding]:
    """Find the faults of the images of a data set, and copies.

    Args:
        entries: The images.
        inspected: The hash and the faults of each, see `inspect_image`.
        file: Name of the annotation file.
        folder: Folder of the images, to guess what a wrong name means.
        training_only: Whether no test uses the file: a training leaves missing images out, a test stops.
        trained: Images of other files that a training uses, by hash.
    """
    num_missing = sum(fault[0] == "image_missing" for _, faults in inspected for fault in faults)
    missing = SKIPPED if training_only and 2 * num_missing <= len(entries) else REFUSED
    first: dict[bytes, str] = {}
    findings = []
    for entry, (digest, faults) in zip(entries, inspected):
        for check, severity, detail in faults:
            if check == "image_missing":
                severity, detail = missing, f"{detail}: {missing_image(entry.path, folder)}"
            findings.append(entry.finding(file, check, severity, detail))
        earlier = first.setdefault(digest, entry.path) if digest else entry.path
        if earlier != entry.path:
            detail = f"is a copy of {earlier}: use one of both"
            findings.append(entry.finding(file, "image_repeated", WARNING, detail))
        if digest in trained:
            fix = "delete one of both, because images of the training make the score of a test too high"
            detail = f"is also the training image {trained[digest]}: {fix}"
            findings.append(entry.finding(file, "image_in_training", WARNING, detail))
    return findings
