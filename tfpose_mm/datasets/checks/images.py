"""Faults of images: missing, unreadable, cut, turned by EXIF, of another size than the file says, copies."""

from __future__ import annotations

import hashlib
import io
import os.path as osp
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import cv2
import mmcv
from mmcv.transforms import LoadImageFromFile
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from PIL import Image
from rich.console import Console
from rich.progress import track

from ..config_data import LARGEST
from ..findings import REFUSED, SKIPPED, WARNING, Finding

EXIF_ORIENTATION, JPEG_END = 0x112, b"\xff\xd9"
COPY = "download or copy the image again, or delete its annotations"
EXIF_FIX = "save the image without an EXIF orientation, or set color_type='color_ignore_orientation' of LoadImage"

Fault = tuple[str, str, str]  # check, severity, sentence without its subject


def check_images(
    data: BaseCocoStyleDataset, images: Mapping[int, dict], for_test: bool, trained: Mapping[bytes, str]
) -> tuple[list[Finding], dict[bytes, str]]:
    """Read the images of a data set, decode them as its LoadImage does, and find their faults and copies.

    Args:
        data: The data set.
        images: Entries of ``images`` by their index in the annotation file.
        for_test: Whether a test uses them: it stops if one is missing, a training leaves it out.
        trained: Paths of the images that a training uses, by the hash of their file.

    Returns:
        The faults, and the paths of the images by the hash of their file.
    """
    loader = next((step for step in data.pipeline.transforms if isinstance(step, LoadImageFromFile)), None)
    decode = partial(_inspect, loader=loader or LoadImageFromFile())
    paths = [osp.join(data.data_prefix.get("img", ""), image["file_name"]) for image in images.values()]
    sizes = [(image["width"], image["height"]) for image in images.values()]
    with ThreadPoolExecutor() as pool:
        name, console = f"images of {Path(data.ann_file).name}", Console(stderr=True)
        read = list(track(pool.map(decode, paths, sizes), name, len(paths), console=console, transient=True))
    missing = sum(fault[0] == "image_missing" for _, faults in read for fault in faults)
    stops = for_test or 2 * missing > len(paths)
    findings: list[Finding] = []
    known: dict[bytes, str] = {}
    for row, path, (digest, faults) in zip(images, paths, read):
        if digest in known:
            faults.append(("image_repeated", WARNING, f"is a copy of {known[digest]}: use one of both"))
        if digest in trained:
            fix = "delete one of both, because images of the training make the score of a test too high"
            faults.append(("image_in_training", WARNING, f"is also the training image {trained[digest]}: {fix}"))
        if digest:
            known.setdefault(digest, path)
        for name, severity, text in faults:
            severity = REFUSED if stops and name == "image_missing" else severity
            findings.append(Finding(name, severity, data.ann_file, row, f"in 'images', {path} {text}"))
    return findings, known


def _inspect(path: str, size: tuple[float, float], loader: LoadImageFromFile) -> tuple[bytes, list[Fault]]:
    """A hash of the file of an image, empty if it cannot be decoded; and its faults."""
    try:
        content = Path(path).read_bytes()
        image = mmcv.imfrombytes(content, flag=loader.color_type, backend=loader.imdecode_backend)
        if image is None:
            raise ValueError(f"{loader.imdecode_backend} cannot decode it")
    except FileNotFoundError:
        fix = "correct data_root or data_prefix in the config, file_name in the annotation file, or copy the image"
        return b"", [("image_missing", SKIPPED, f"must exist, but does not: {fix}")]
    except (cv2.error, OSError, ValueError, SyntaxError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        detail = f"must be a complete image, but decoding fails with {reason}: {COPY}"
        return b"", [("image_unreadable", REFUSED, detail)]
    return hashlib.blake2b(content, digest_size=16).digest(), [*_faults(content, image.shape[1::-1], size)]


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
