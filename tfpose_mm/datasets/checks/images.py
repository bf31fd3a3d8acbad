"""Faults of images: missing, unreadable, cut, rotated by EXIF, of another size than the file says, copies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import cv2
import mmcv
from PIL import Image

from ..findings import REFUSED, SKIPPED, WARNING, Finding
from ..image_files import LARGEST, missing_image

EXIF_ORIENTATION = 0x112
PNG_START, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
COPY = "download or copy the image again, or delete its annotations"
EXIF_FIX = "save the image without an EXIF orientation, or set color_type='color_ignore_orientation' of LoadImage"


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

    def finding(self, check: str, severity: str, file: str, detail: str) -> Finding:
        """Make a finding of this image in an annotation file; ``detail`` is a sentence without its subject."""
        if self.row is None:
            return Finding(check, severity, self.path, None, detail)
        return Finding(check, severity, file, self.row, f"in 'images', {self.path} {detail}")


class ImageRecord(NamedTuple):
    """What an image file contains.

    Attributes:
        size: Width and height in pixels after decoding, with the rotation of EXIF if the decoder applies it; ``None``
            if the image cannot be decoded.
        error: Why it cannot be decoded; ``"missing"`` for a missing file.
        digest: Hash of the file.
        stored_size: Width and height in pixels in the file, before the rotation; ``None`` if it is not known.
        orientation: EXIF orientation, 1 to 8; 1 without one.
        mode: Pillow's mode, as ``"RGB"``.
        truncated: Whether the end of the image is missing.
        has_16_bits: Whether a channel has 16 bits.
        transparent: Whether a pixel is transparent.
    """

    size: tuple[int, int] | None
    error: str = ""
    digest: bytes = b""
    stored_size: tuple[int, int] | None = None
    orientation: int = 1
    mode: str = ""
    truncated: bool = False
    has_16_bits: bool = False
    transparent: bool = False


def read_image(path: str, color_type: str, backend: str) -> ImageRecord:
    """Read an image, decode it with a ``color_type`` and an ``imdecode_backend`` of LoadImage, and describe it."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return ImageRecord(None, "missing")
    except (OSError, ValueError) as error:
        return ImageRecord(None, str(error))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if not content:
        return ImageRecord(None, "the file is empty", digest)
    try:
        image = mmcv.imfrombytes(content, flag=color_type, backend=backend)
    except (cv2.error, OSError, ValueError, SyntaxError, TypeError) as error:
        return ImageRecord(None, f"{type(error).__name__}: {error}".strip().split("\n")[0][:200], digest)
    if image is None or not image.size:
        cut = content.startswith(JPEG_START) and not _is_complete_jpeg(content)
        return ImageRecord(None, "its end is missing" if cut else f"{backend} cannot decode it", digest)
    return ImageRecord((image.shape[1], image.shape[0]), "", digest, **_describe(content))


def _describe(content: bytes) -> dict[str, Any]:
    """Read what only Pillow tells; a format that Pillow does not know has no description."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            truncated = not _is_complete_jpeg(content) and _is_truncated(image)
            alpha = image.mode in ("RGBA", "LA") and not truncated
            return dict(
                stored_size=image.size,
                orientation=int(image.getexif().get(EXIF_ORIENTATION) or 1),
                mode=image.mode,
                truncated=truncated,
                has_16_bits=image.mode.startswith("I") or (content.startswith(PNG_START) and content[24] == 16),
                transparent=alpha and image.getchannel("A").getextrema()[0] < 255,
            )
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return {}


def _is_complete_jpeg(content: bytes) -> bool:
    """Whether a JPEG ends with its end marker; some decoders fill the missing rows of a cut JPEG without an error."""
    return content.startswith(JPEG_START) and JPEG_END in content[-32:]


def _is_truncated(image: Image.Image) -> bool:
    try:
        image.load()
    except (OSError, SyntaxError):
        return True
    return False


def check_images(
    entries: list[ImageEntry], records: Mapping[str, ImageRecord], file: str, training_only: bool, folder: str
) -> list[Finding]:
    """Find the faults of images, and images of a data set with the same content.

    Args:
        entries: The images.
        records: What is in the files, by path.
        file: Name of the annotation file.
        training_only: Whether no test uses the file: a training leaves missing images out, a test stops.
        folder: Folder of the images, to guess what a wrong name means.
    """
    num_missing = sum(records[entry.path].error == "missing" for entry in entries)
    missing = SKIPPED if training_only and 2 * num_missing <= len(entries) else REFUSED
    first: dict[bytes, str] = {}
    findings = []
    for entry in entries:
        record = records[entry.path]
        if record.error == "missing":
            detail = f"must exist, but does not: {missing_image(entry.path, folder)}"
            findings.append(entry.finding("image_missing", missing, file, detail))
            continue
        findings += [entry.finding(*fault[:2], file, fault[2]) for fault in _faults(entry, record)]
        earlier = first.setdefault(record.digest, entry.path) if record.size else entry.path
        if earlier != entry.path:
            findings.append(entry.finding("image_repeated", WARNING, file, f"is a copy of {earlier}: use one of both"))
    return findings


def _faults(entry: ImageEntry, record: ImageRecord) -> Iterable[tuple[str, str, str]]:
    if record.size is None:
        yield "image_unreadable", REFUSED, f"must be a readable image, but {record.error}: {COPY}"
        return
    yield from _size_faults(entry.size or record.size, record.size, record)
    if record.truncated:
        detail = f"should be complete, but its end is missing, and the training sees grey or black rows: {COPY}"
        yield "image_truncated", WARNING, detail
    if max(record.size) > LARGEST:
        needs = f"must have no side longer than {LARGEST} pixels, which OpenCV's warpAffine needs"
        yield "image_too_long", REFUSED, f"{needs}, but is {_text(record.size)}: scale or cut it"
    if record.mode == "CMYK":
        detail = "should be RGB or grey, but is CMYK, whose colours decoders convert differently: save it as RGB"
        yield "image_cmyk", WARNING, detail
    if record.has_16_bits:
        detail = "should have 8 bits per channel, but has 16, of which LoadImage keeps the upper 8: save it with 8 bits"
        yield "image_16_bit", WARNING, detail
    if record.transparent:
        detail = "should have no transparent pixels, but has, and LoadImage shows the colours behind them"
        yield "image_transparent", WARNING, f"{detail}: save it without alpha"


def _size_faults(
    expected: tuple[float, float], size: tuple[int, int], record: ImageRecord
) -> Iterable[tuple[str, str, str]]:
    """Compare the size of the annotation file with that of the decoded image, and with that before the EXIF turn."""
    stored, orientation = record.stored_size or size, record.orientation
    should = f"should have the size of the annotation file, {_text(expected)}, but"
    if orientation >= 5 and size == stored[::-1] != stored and expected == stored:
        turn = f"LoadImage turns it by its EXIF orientation {orientation} to {_text(size)}"
        yield (
            "image_exif_rotated",
            WARNING,
            f"{should} {turn}, so that the labels are on the unturned image: {EXIF_FIX}",
        )
    elif expected != size:
        fix = "correct width and height, or scale the annotations, or use the image for which they were made"
        yield "image_size", WARNING, f"{should} has {_text(size)}: {fix}"
    elif orientation != 1 and (orientation < 5 or stored[0] == stored[1]):
        has = (
            f"should have no EXIF orientation, but has {orientation}, and the size does not show whether the labels are"
        )
        detail = f"{has} those of the turned image: look at a drawing; if they are not, {EXIF_FIX}"
        yield "image_exif_orientation", WARNING, detail


def _text(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"


def check_shared(
    entries: list[ImageEntry], records: Mapping[str, ImageRecord], file: str, trained: Mapping[bytes, str]
) -> list[Finding]:
    """Find images of a test that have the content of an image of the training.

    Args:
        entries: The images of the test.
        records: What is in the files, by path.
        file: Name of the annotation file of the test.
        trained: Images of the training by the hashes of their files.
    """
    fix = "delete one of both, because images of the training make the score of a test too high"
    shared = [entry for entry in entries if records[entry.path].size and records[entry.path].digest in trained]
    details = [f"is also the training image {trained[records[entry.path].digest]}: {fix}" for entry in shared]
    return [entry.finding("image_in_training", WARNING, file, detail) for entry, detail in zip(shared, details)]
