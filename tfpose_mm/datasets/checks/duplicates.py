"""Find images that are used twice: in one file, or for training and for testing."""

from __future__ import annotations

import numpy as np

from ..findings import WARNING, Finding
from .image_checks import ImageEntry
from .images import ImageRecord

MAX_DISTANCE = 16  # different bits of 256 of similar images; docs/check_data.md has the measurement
CHUNK = 256  # images compared with all others at once
WHY = "images of the training make the score of a test too high"


def find_repeated(entries: list[ImageEntry], records: list[ImageRecord], file: str) -> list[Finding]:
    """Find files with the same content and different names in one data set.

    Args:
        entries: The images.
        records: What is in the files.
        file: Name of the annotation file.

    Returns:
        A finding for each image whose content an earlier image has.
    """
    first: dict[bytes, ImageEntry] = {}
    findings = []
    for entry, record in zip(entries, records):
        if record.digest:
            earlier = first.setdefault(record.digest, entry)
            if earlier.path != entry.path:
                findings.append(
                    entry.finding("image_repeated", WARNING, file, f"is a copy of {earlier.path}: use one of both")
                )
    return findings


def find_shared(
    entries: list[ImageEntry],
    records: list[ImageRecord],
    file: str,
    train_entries: list[ImageEntry],
    train_records: list[ImageRecord],
) -> list[Finding]:
    """Find images of a test that are also in the training data, or similar to one of them.

    Args:
        entries: The images of the test.
        records: What is in the files.
        file: Name of the annotation file of the test.
        train_entries: The images of the training.
        train_records: What is in the files.

    Returns:
        A finding for each image of the test with the same content as one of the training, or with a similar look.
    """
    by_digest = {record.digest: entry for entry, record in zip(train_entries, train_records) if record.digest}
    fix = f"delete one of both, because {WHY}"
    findings, others = [], []
    for entry, record in zip(entries, records):
        if record.digest in by_digest:
            path = by_digest[record.digest].path
            findings.append(
                entry.finding("image_in_training", WARNING, file, f"is also the training image {path}: {fix}")
            )
        elif record.look is not None:
            others.append((entry, record.look))
    trained = [(entry, record.look) for entry, record in zip(train_entries, train_records) if record.look is not None]
    nearest = _nearest([look for _, look in others], [look for _, look in trained])
    for (entry, _), (place, distance) in zip(others, nearest):
        if distance <= MAX_DISTANCE:
            path = trained[place][0].path
            detail = (
                f"looks like the training image {path} ({distance} of 256 bits differ): if both show one image, {fix}"
            )
            findings.append(entry.finding("image_similar_to_training", WARNING, file, detail))
    return findings


def _nearest(looks: list[bytes], others: list[bytes]) -> list[tuple[int, int]]:
    """Index of the most similar other hash, and the number of different bits."""
    if not looks or not others:
        return []
    signs, all_signs = _signs(looks), _signs(others)
    nearest = []
    for start in range(0, len(signs), CHUNK):
        products = signs[start : start + CHUNK] @ all_signs.T
        places = products.argmax(1)
        distances = (all_signs.shape[1] - products[np.arange(len(places)), places]) / 2
        nearest += [(int(place), round(float(distance))) for place, distance in zip(places, distances)]
    return nearest


def _signs(looks: list[bytes]) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(b"".join(looks), dtype=np.uint8)).reshape(len(looks), -1)
    return bits.astype(np.float32) * 2 - 1
