"""Faults of images: missing, unreadable, cut, rotated by EXIF, of another size than the annotation file says."""

from __future__ import annotations

from typing import NamedTuple

from ..findings import REFUSED, SKIPPED, WARNING, Finding
from ..image_files import LARGEST, likely_name
from .images import ImageRecord

COPY = "download or copy the image again, or delete its annotations"


class ImageEntry(NamedTuple):
    """An image that a data set uses.

    Attributes:
        row: Index in ``images`` of the annotation file; of the first annotation of the image in a file without
            ``images``; ``None`` in other formats.
        path: The file.
        size: Width and height in pixels by the annotation file, ``None`` if it does not say.
        listed: Whether the file has a list ``images``.
    """

    row: int | None
    path: str
    size: tuple[float, float] | None
    listed: bool = True

    def finding(self, check: str, severity: str, file: str, detail: str) -> Finding:
        """Make a finding of this image.

        Args:
            check: The name of the check.
            severity: What a training does.
            file: Name of the annotation file.
            detail: What is wrong with the image; a sentence without its subject.
        """
        if self.row is None:
            return Finding(check, severity, self.path, None, detail)
        start = "in 'images', " if self.listed else ""
        return Finding(check, severity, file, self.row, f"{start}{self.path} {detail}")


def check_images(
    entries: list[ImageEntry], records: list[ImageRecord], file: str, training_only: bool, folder: str = ""
) -> list[Finding]:
    """Find the faults of images.

    Args:
        entries: The images.
        records: What is in the files.
        file: Name of the annotation file.
        training_only: Whether no test uses the file: a training leaves missing images out, a test stops.
        folder: Folder of the images, to guess what a wrong name means.

    Returns:
        A finding for each fault of each image.
    """
    missing = sum(record.error == "missing" for record in records)
    refused = not training_only or 2 * missing > len(records)
    findings = []
    for entry, record in zip(entries, records):
        for check, severity, detail in _faults(entry, record, REFUSED if refused else SKIPPED, folder):
            findings.append(entry.finding(check, severity, file, detail))
    return findings


def _faults(entry: ImageEntry, record: ImageRecord, missing: str, folder: str) -> list[tuple[str, str, str]]:
    if record.error == "missing":
        meant = likely_name(entry.path, folder)
        fix = "copy it, or correct data_root or data_prefix in the config"
        if meant is not None:
            fix = f"probably '{meant}' is meant, which exists: correct file_name"
        return [
            (
                "image_missing",
                missing,
                f"must exist, but does not: {fix}",
            )
        ]
    if record.size is None:
        return [("image_unreadable", REFUSED, f"must be a readable image, but {record.error}: {COPY}")]
    faults = []
    if record.truncated:
        detail = f"should be complete, but its end is missing, and the training sees grey or black rows: {COPY}"
        faults.append(("image_truncated", WARNING, detail))
    faults += _size_faults(entry, record, record.size)
    if max(record.size) > LARGEST:
        width, height = record.size
        detail = (
            f"must have no side longer than {LARGEST} pixels, which OpenCV's warpAffine needs, but is {width} x "
            f"{height}: scale or cut it"
        )
        faults.append(("image_too_long", REFUSED, detail))
    if record.mode == "CMYK":
        detail = "should be RGB or grey, but is CMYK, whose colours decoders convert differently: save it as RGB"
        faults.append(("image_cmyk", WARNING, detail))
    if record.bits == 16:
        detail = (
            "should have 8 bits per channel, but has 16, of which LoadImage keeps the upper 8, so that the brightest "
            f"pixel is {record.brightest} of 255: save it with 8 bits"
        )
        faults.append(("image_16_bit", WARNING, detail))
    if record.transparent:
        detail = (
            "should have no transparent pixels, but has, and LoadImage shows the colours behind them: save it without "
            "alpha"
        )
        faults.append(("image_transparent", WARNING, detail))
    return faults


def _size_faults(entry: ImageEntry, record: ImageRecord, size: tuple[int, int]) -> list[tuple[str, str, str]]:
    stored, turned = record.stored_size or size, record.orientation != 1
    by_file = entry.size or size
    remedy = "save the image without an EXIF orientation, or set color_type='color_ignore_orientation' of LoadImage"
    applied = turned and record.orientation >= 5 and size == (stored[1], stored[0]) != stored
    if applied and by_file == stored:
        detail = (
            f"should have the size of the annotation file, {_text(by_file)}, but LoadImage turns it by its EXIF "
            f"orientation {record.orientation} to {_text(size)}, so that the labels are on the unturned image: {remedy}"
        )
        return [("image_exif_rotated", WARNING, detail)]
    if by_file != size:
        detail = (
            f"should have the size of the annotation file, {_text(by_file)}, but has {_text(size)}: correct width and "
            "height, or scale the annotations, or use the image for which they were made"
        )
        return [("image_size", WARNING, detail)]
    if turned and (record.orientation < 5 or stored[0] == stored[1]):
        detail = (
            f"should have no EXIF orientation, but has {record.orientation}, and the size does not show whether the "
            f"labels are those of the turned image: look at a drawing; if they are not, {remedy}"
        )
        return [("image_exif_orientation", WARNING, detail)]
    return []


def _text(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"
