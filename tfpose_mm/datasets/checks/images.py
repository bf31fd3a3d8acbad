"""Faults of images: missing, unreadable, cut, turned by EXIF, of another size than the file says, copies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
from PIL import Image

from ..config_data import LARGEST
from ..findings import REFUSED, SKIPPED, WARNING, Finding

EXIF_ORIENTATION, JPEG_END = 0x112, b"\xff\xd9"
COPY = "download or copy the image again, or delete its annotations"
EXIF_FIX = "save the image without an EXIF orientation, or set color_type='color_ignore_orientation' of LoadImage"

Fault = tuple[str, str, str]  # check, severity, sentence without its subject


class ImageEntry(NamedTuple):
    """An image of an annotation file: index in ``images``, path, width and height in pixels by the file."""

    row: int
    path: str
    size: tuple[float, float]


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
        image = mmcv.imfrombytes(content, flag=color_type, backend=backend)
        if image is None:
            raise ValueError(f"{backend} cannot decode it")
    except FileNotFoundError:
        fix = "correct data_root or data_prefix in the config, file_name in the annotation file, or copy the image"
        return b"", [("image_missing", SKIPPED, f"must exist, but does not: {fix}")]
    except (cv2.error, OSError, ValueError, SyntaxError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        detail = f"must be a complete image, but decoding fails with {reason}: {COPY}"
        return b"", [("image_unreadable", REFUSED, detail)]
    return hashlib.blake2b(content, digest_size=16).digest(), [*_faults(content, image.shape[1::-1], entry.size)]


def _faults(content: bytes, size: tuple[int, int], expected: tuple[float, float]) -> Iterator[Fault]:
    """Faults of an image that can be decoded: its file, its decoded size, and the size by the annotation file."""
    stored, orientation, truncated = size, 1, False
    with suppress(OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        image = Image.open(io.BytesIO(content))
        stored, orientation = image.size, int(image.getexif().get(EXIF_ORIENTATION) or 1)
        if JPEG_END not in content[-32:]:  # some decoders fill missing rows without an error; Pillow raises one
            truncated = True
            image.load()
            truncated = False
    if expected != size:
        turned = orientation >= 5 and size == stored[::-1] and expected == stored
        detail = f"should have the size of the annotation file, {expected[0]:g} x {expected[1]:g}, but is loaded with"
        fix = EXIF_FIX if turned else "correct width and height, scale the annotations, or use their image"
        name, exif = ("image_exif_rotated", f", EXIF orientation {orientation}") if turned else ("image_size", "")
        yield name, WARNING, f"{detail} {size[0]} x {size[1]}{exif}: {fix}"
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
        detail = f"must have no side longer than {LARGEST} pixels, but is {size[0]} x {size[1]}: scale or cut it"
        yield "image_too_long", REFUSED, detail


def check_images(
    entries: list[ImageEntry],
    inspected: list[tuple[bytes, list[Fault]]],
    file: str,
    for_test: bool,
    trained: dict[bytes, str],
) -> Iterator[Finding]:
    """Find the faults of the images of a data set, and copies.

    Args:
        entries: The images.
        inspected: The hash and the faults of each, see `inspect_image`.
        file: Name of the annotation file.
        for_test: Whether a test uses them: it stops if one is missing, a training leaves it out.
        trained: Images of other files that a training uses, by hash.
    """
    missing = sum(fault[0] == "image_missing" for _, faults in inspected for fault in faults)
    stops = for_test or 2 * missing > len(entries)
    first: dict[bytes, ImageEntry] = {}
    for entry, (digest, faults) in zip(entries, inspected):
        faults = [(name, REFUSED if stops and name == "image_missing" else sev, text) for name, sev, text in faults]
        earlier = first.setdefault(digest, entry)
        if digest and earlier is not entry:
            faults.append(("image_repeated", WARNING, f"is a copy of {earlier.path}: use one of both"))
        if digest in trained:
            fix = "delete one of both, because images of the training make the score of a test too high"
            faults.append(("image_in_training", WARNING, f"is also the training image {trained[digest]}: {fix}"))
        for name, severity, text in faults:
            yield Finding(name, severity, file, entry.row, f"in 'images', {entry.path} {text}")
