"""Find the annotation files and the images of a data set in COCO's json format."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

LAYOUTS = (
    "COCO keypoint json files in the folder or in folders of it (Roboflow: train/_annotations.coco.json, CVAT and "
    "MMPose: annotations/*.json, Label Studio: result.json), or a data.yaml with kpt_shape (YOLO pose)"
)
NEEDED = dict(images=("id", "file_name"), annotations=("image_id", "category_id"), categories=("id", "name"))
SPLITS = ("train", "val", "test")
DEPTH = 2  # folders below the data's folder in which images are looked for


@dataclass
class Part:
    """The annotations for training, validation or test.

    Attributes:
        split: ``"train"``, ``"val"`` or ``"test"``.
        content: The annotations in COCO's json format.
        file: The file that has them, for messages.
        images: The folder to which ``file_name`` is relative.
        changed: Whether ``content`` differs from the file, so that it must be written to another one.
        flip_indices: For each keypoint the index of its partner, or its own, where the data set has them.
    """

    split: str
    content: dict[str, Any]
    file: Path
    images: Path
    changed: bool = False
    flip_indices: list[int] | None = None


def find_coco_parts(paths: Sequence[Path], images: Path | None) -> list[Part]:
    """Read the annotation files of a data set, and find their images.

    Args:
        paths: One folder, or json files. The words train, val and test in the name of a file, else of its folder, tell
            what it is for; without one it is for training.
        images: Folder to which ``file_name`` is relative; ``None`` looks for it.

    Returns:
        One part for each split that has annotations.

    Raises:
        UserError: If a file cannot be read, none has keypoints, two have the same split, or all images are missing.
    """
    is_folder = len(paths) == 1 and paths[0].is_dir()
    files = sorted([*paths[0].glob("*.json"), *paths[0].glob("*/*.json")]) if is_folder else paths
    parts: dict[str, Part] = {}
    for file in files:
        content = _read_json(file)
        if not _has_keypoints(content):
            continue
        _need_keys(content, file)
        split = _split_of(file)
        if split in parts:
            raise UserError(
                f"{parts[split].file} and {file} are both for {split}, but one file is needed: give the files, as in "
                f"'tfpose init train.json val.json', with the words {', '.join(SPLITS)} in their names or folders."
            )
        root = paths[0] if is_folder else file.parent.parent if file.parent.name == "annotations" else file.parent
        folders = [images] if images is not None else _image_folders(root, file, split)
        parts[split] = Part(split, content, file, _choose_folder(folders, content, file))
    if not parts and not files:
        raise UserError(f"{paths[0]} has no known layout: expected {LAYOUTS}.")
    if not parts:
        names = ", ".join(map(str, files[:3])) + (" and others" if len(files) > 3 else "")
        raise UserError(
            f"Keypoint annotations in COCO's json format are needed, but {names} has no annotation with 'keypoints': "
            "export the data as COCO keypoints."
        )
    found = [parts[split] for split in SPLITS if split in parts]
    if len(found) == 1:
        found[0].split = "train"
    return found


def box_of(row: dict[str, Any]) -> list[float] | None:
    """The box [x, y, w, h] of an annotation in pixels, or ``None`` if it has no such box."""
    box = row.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(value, (int, float)) for value in box):
        return box
    return None


def missing_images(part: Part) -> list[str]:
    """Names of the images that do not exist."""
    return [name for name in _file_names(part.content) if not (part.images / name).is_file()]


def _read_json(file: Path) -> Any:  # noqa: ANN401 - a json file holds anything
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{file} is not a json file in UTF-8 ({error}): export the annotations again.") from error


def _has_keypoints(content: object) -> bool:
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in NEEDED):
        return False
    return any(isinstance(row, dict) and row.get("keypoints") for row in content["annotations"])


def _need_keys(content: dict[str, Any], file: Path) -> None:
    """Check the keys that are read here; ``check-data`` checks the rest."""
    for name, keys in NEEDED.items():
        for index, entry in enumerate(content[name]):
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise UserError(
                    f"{file}: each entry of '{name}' must have {' and '.join(keys)}, but entry {index} has no "
                    f"{missing[0]}: export the annotations again."
                )


def _split_of(file: Path) -> str:
    for name in (file.stem, file.parent.name):
        found = re.search(r"(?<![a-z])(train|val|test)", name.lower())
        if found:
            return found[1]
    return "train"


def _image_folders(root: Path, file: Path, split: str) -> Iterator[Path]:
    """The folder of the annotation file, then the folders of the data, first those named like the file or the split."""
    yield file.parent
    folders = []
    for folder, below, _ in os.walk(root):
        path = Path(folder).relative_to(root)
        if len(path.parts) >= DEPTH:
            below.clear()
        named = path.name.lower() in file.stem.lower() or split in str(path).lower()
        folders.append((not (path.parts and named), len(path.parts), str(path)))
    yield from (root / path for *_, path in sorted(folders))


def _choose_folder(folders: Sequence[Path] | Iterator[Path], content: dict[str, Any], file: Path) -> Path:
    names = _file_names(content)
    some = names[:: max(1, len(names) // 200)]
    best, most = None, 0
    for folder in folders:
        count = sum((folder / name).is_file() for name in some)
        if count > most:
            best, most = folder, count
    if best is None:
        first = names[0] if names else "none"
        raise UserError(
            f"All {len(names)} images of {file} are missing (the first is {first}): put them beside it, or give their "
            "folder with --images."
        )
    return best


def _file_names(content: dict[str, Any]) -> list[str]:
    return [image["file_name"] for image in content["images"]]
