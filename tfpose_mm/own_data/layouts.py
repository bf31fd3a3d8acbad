"""Find the annotation files and the images of a data set in COCO's json format."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .keypoint_names import lower_words

LAYOUTS = (
    "COCO keypoint json files in the folder or in folders of it (Roboflow: train/_annotations.coco.json, CVAT and "
    "MMPose: annotations/*.json, Label Studio: result.json), or a data.yaml with kpt_shape (YOLO pose)"
)
NEEDED = dict(images={"id", "file_name"}, annotations={"image_id", "category_id"}, categories={"id", "name"})
SPLITS = ("train", "val", "test")


@dataclass
class Part:
    """The annotations for training, validation or test."""

    split: str  # "train", "val" or "test"
    content: dict[str, Any]  # in COCO's json format
    file: Path  # that has them, for messages
    images: Path  # the folder to which file_name is relative
    changed: bool = False  # whether content differs from the file, so that it must be written to another one
    flip_indices: list[int] | None = None  # for each keypoint the index of its partner, or its own, if they are known


def find_coco_parts(paths: Sequence[Path], images: Path | None) -> list[Part]:
    """Read the annotation files of one folder, or json files, and find their images, if their folder is not given.

    The last of the words train, val and test in the name of a file, else of its folder, tells what it is for; without
    one it is for training.
    """
    is_folder = len(paths) == 1 and paths[0].is_dir()
    files = sorted([*paths[0].glob("*.json"), *paths[0].glob("*/*.json")]) if is_folder else paths
    parts: dict[str, Part] = {}
    for file in files:
        content = _read(file)
        if content is None:
            continue
        words = re.findall(r"(?<![a-z])(?:train|val|test)", lower_words("/".join(file.parts[-2:])))
        split = words[-1] if words else "train"
        if split in parts:
            raise UserError(
                f"{parts[split].file} and {file} are both for {split}, but one file is needed: give the files, as in "
                f"'tfpose init train.json val.json', with the words {', '.join(SPLITS)} in their names or folders."
            )
        root = paths[0] if is_folder else file.parent.parent if file.parent.name == "annotations" else file.parent
        folders = [images] if images is not None else [file.parent, *_folders(root, file, split)]
        parts[split] = Part(split, content, file, _choose_folder(folders, content, file))
    if not parts:
        names = ", ".join(map(str, files[:3])) or f"{paths[0]} has no known layout and"
        raise UserError(f"{names} has no annotation with 'keypoints': expected {LAYOUTS}; export the data as such.")
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


def _read(file: Path) -> dict[str, Any] | None:
    """Annotations with the keys that are read here; ``None`` without keypoints. ``check-data`` checks the rest."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{file} is not a json file in UTF-8 ({error}): export the annotations again.") from error
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in NEEDED):
        return None
    for name, keys in NEEDED.items():
        for index, entry in enumerate(content[name]):
            if (
                not isinstance(entry, dict)
                or not keys <= entry.keys()
                or any(isinstance(entry.get(key), (dict, list)) for key in (*keys, "id"))
                or not isinstance(entry.get("file_name", ""), str)
                or not isinstance(entry.get("keypoints") or [], list)
            ):
                raise UserError(
                    f"{file}: each entry of '{name}' must have {' and '.join(sorted(keys))}, but entry {index} does "
                    "not (ids are numbers or texts, file_name is a text, keypoints are a list): export the annotations "
                    "again."
                )
    return content if any(row.get("keypoints") for row in content["annotations"]) else None


def _folders(root: Path, file: Path, split: str) -> list[Path]:
    """The data's folder and two levels below it, first those named like the file or the split."""

    def order(path: Path) -> tuple[bool, int, str]:
        name, depth = str(path.relative_to(root)), len(path.relative_to(root).parts)
        named = path.name.lower() in file.stem.lower() or split in name.lower()
        return not (depth and named), depth, name

    return sorted((path for path in (root, *root.glob("*"), *root.glob("*/*")) if path.is_dir()), key=order)


def _choose_folder(folders: Sequence[Path], content: dict[str, Any], file: Path) -> Path:
    """The first of the folders with most of the images."""
    names = [image["file_name"] for image in content["images"]]
    some = names[:: max(1, len(names) // 200)]
    counts = [sum((folder / name).is_file() for name in some) for folder in folders]
    if not any(counts):
        raise UserError(
            f"All {len(names)} images of {file} are missing (the first is {[*names, 'none'][0]}): put them beside it, "
            "or give their folder with --images."
        )
    return folders[counts.index(max(counts))]
