"""Annotations in COCO's json format: what their keys must be, and the numbers of the instances as one array."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any, Callable

import numpy as np
from mmengine.fileio import get_local_path

from ..errors import MissingFileError, UserError

LIMIT = 1e6  # pixels; a larger coordinate is a fault, and overflows in the affine transforms
OPTIONAL = ("iscrowd", "area", "num_keypoints")
Instances = Any  # the array of `read_instances`; NumPy's types of record arrays know no fields
Keys = dict[str, tuple[Callable[[Any], bool], str]]  # whether a value is good, and what is expected


def read_json(path: str) -> Any:  # noqa: ANN401 - json has values of any type
    """Read a json file in UTF-8.

    Raises:
        UserError: If the file is missing, cannot be read, or is not complete json in UTF-8.
    """
    try:
        with get_local_path(path) as local, open(local, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError as error:
        fix = "correct ann_file, bbox_file and data_root in the config"
        raise MissingFileError(f"The annotation file {path} does not exist: {fix}.") from error
    except (OSError, ValueError, RecursionError) as error:
        fix = "download, copy or write it again"
        raise UserError(
            f"The annotation file {path} must be complete json in UTF-8, but has '{error}': {fix}."
        ) from error


def _is_id(value: object) -> bool:
    return type(value) is int and abs(value) < 2**63  # true and false are not


def _is_number(value: Any, limit: float = LIMIT) -> bool:  # noqa: ANN401 - any json
    return type(value) in (int, float) and abs(value) <= limit  # False for NaN


def _are_numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))


ID = (_is_id, "a whole number")
SIDE = (lambda side: _is_number(side) and side >= 1, "a number of pixels")
NAME = (lambda name: isinstance(name, str) and bool(name.strip()), "a name")
IMAGE: Keys = dict(id=ID, file_name=NAME, width=SIDE, height=SIDE)


def annotation_keys(image_ids: Container[int], num_keypoints: int) -> Keys:
    """The keys of an annotation with K keypoints."""
    points = (
        f"a list of {3 * num_keypoints} finite numbers x1, y1, v1, x2, ... of the {num_keypoints} keypoints in metainfo"
    )
    return dict(
        id=ID,
        image_id=(lambda value: _is_id(value) and value in image_ids, "the id of a usable entry of 'images'"),
        category_id=ID,
        bbox=(lambda box: _are_numbers(box, 4), "a list [x, y, width, height] of finite numbers"),
        iscrowd=(lambda value: value in (0, 1), "0 or 1"),
        area=(lambda area: _is_number(area, LIMIT**2), "a finite number"),
        num_keypoints=ID,
        keypoints=(lambda numbers: _are_numbers(numbers, 3 * num_keypoints), points),
    )


def entry_fault(entry: object, keys: Keys) -> tuple[str, str] | None:
    """The first fault of the keys and values of an entry, as (check, sentence)."""
    if type(entry) is not dict:
        return "no_object", f"an entry must be an object, but this is {entry!r:.50}: delete it"
    for key, (is_good, expected) in keys.items():
        if key not in entry and key not in OPTIONAL:
            return f"{key}_missing", f"an entry must have the key '{key}', but this has not: add it or delete the entry"
        if key in entry and not is_good(entry[key]):
            value, got = entry[key], f"is {entry[key]!r:.50}"
            if isinstance(value, list):
                wrong = [f", and number {i} is {item!r:.30}" for i, item in enumerate(value) if not _is_number(item)]
                got = f"has {len(value)} values{wrong[0] if wrong else ''}"
            return f"{key}_type", f"{key} must be {expected}, but {got}: correct or delete the entry"
    return None


def read_instances(rows: Mapping[int, dict], images: Mapping[int, dict], num_keypoints: int) -> Instances:
    """Convert N annotations whose keys are good.

    Args:
        rows: The annotations by their index in the file.
        images: The images by their ids.
        num_keypoints: K.

    Returns:
        (N,) with the fields index (in the file), box (4,) as x, y, width, height in pixels, points (K, 2) as (x, y) in
        pixels, v (K,), labelled (K,) where v is above 0, area (NaN where there is none), declared (the value of
        num_keypoints, -1 where there is none), image (2,), width and height in pixels.
    """
    k, number = num_keypoints, np.float64
    dtype = [("index", int), ("box", number, (4,)), ("points", number, (k, 2)), ("v", number, (k,))]
    dtype += [("labelled", bool, (k,)), ("area", number), ("declared", number), ("image", number, (2,))]
    read = np.recarray(len(rows), dtype=dtype)
    keypoints = np.array([row["keypoints"] for row in rows.values()], dtype=number).reshape(-1, k, 3)
    sides = [(images[row["image_id"]]["width"], images[row["image_id"]]["height"]) for row in rows.values()]
    read.index = list(rows)
    read.box = np.reshape([row["bbox"] for row in rows.values()], (-1, 4))
    read.points, read.v, read.labelled = keypoints[..., :2], keypoints[..., 2], keypoints[..., 2] > 0
    read.area = [row.get("area", np.nan) for row in rows.values()]
    read.declared = [row.get("num_keypoints", -1) for row in rows.values()]
    read.image = np.reshape(sides, (-1, 2))
    return read
