"""Choose a category of annotations in COCO's json format, and complete its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..host.xtcocotools import BOX_AREA
from .layouts import Part, box_of

MARGIN = 0.1  # around the labelled keypoints, relative to the longer side, where a row has no box


class Category(NamedTuple):
    """A category with keypoints."""

    name: str
    keypoints: list[str]  # the K names, each once; keypoint_0 and so on, if the data have none
    skeleton: list[tuple[int, int]]  # indices of linked keypoints, from 0


def choose_category(parts: Sequence[Part], name: str | None) -> Category:
    """Choose the category with a name, else the only one with keypoints, which must be the same in all parts."""
    found = [_categories_with_keypoints(part) for part in parts]
    known = {name: category for categories in reversed(found) for name, category in categories.items()}
    if name not in known and (name is not None or len(known) != 1):
        listed = ", ".join(f"{category.name} (K = {len(category.keypoints)})" for category in known.values()) or "none"
        raise UserError(
            f"One category with keypoints is needed, but the data have {listed}, and --category is "
            f"{name or 'not given'}: choose one with it, or correct category_id of the annotations."
        )
    chosen = known[name or next(iter(known))]
    for part, categories in zip(parts, found):
        other = categories.get(chosen.name)
        if (other or chosen).keypoints != chosen.keypoints or (other is None and part is parts[0]):
            raise UserError(
                f"All files must have the same keypoints of {chosen.name} in one order, {chosen.keypoints}, but "
                f"{part.file} has {other.keypoints if other else 'none'}: export them again."
            )
    return chosen


def keep_category(part: Part, name: str) -> list[str]:
    """Leave out the rows of other categories and those without keypoints; return a line if there are some."""
    ids = {category["id"] for category in part.content["categories"] if str(category["name"]) == name}
    rows = part.content["annotations"]
    kept = [row for row in rows if row["category_id"] in ids and row.get("keypoints")]
    if len(kept) == len(rows):
        return []
    categories = [category for category in part.content["categories"] if category["id"] in ids]
    part.content = dict(part.content, annotations=kept, categories=categories)
    part.changed = True
    return [f"{part.split}: {len(rows) - len(kept)} rows of other categories or without 'keypoints' are left out"]


def complete_rows(part: Part) -> list[str]:
    """Add what exports leave out: ids, iscrowd, num_keypoints, bbox and area; return a line for the last two each."""
    added: Counter[str] = Counter()
    for index, row in enumerate(part.content["annotations"]):
        try:
            points = np.array(row["keypoints"], dtype=float).reshape(-1, 3)
        except (TypeError, ValueError):  # not three numbers for each keypoint: check-data says so
            points = np.zeros((0, 3))
        labelled = points[points[:, 2] > 0, :2]
        complete: dict[str, Any] = dict(dict(id=index + 1, iscrowd=0, num_keypoints=len(labelled)), **row)
        if not row.get("bbox") and len(labelled):
            margin = max(MARGIN * np.ptp(labelled, axis=0).max(), 8.0)
            start, end = labelled.min(axis=0) - margin, labelled.max(axis=0) + margin
            complete["bbox"] = [*start.tolist(), *(end - start).tolist()]
            added["bbox"] += 1
        box = box_of(complete)
        if "area" not in row and box:
            complete["area"] = BOX_AREA * box[2] * box[3]
            added["area"] += 1
        part.changed |= complete != row
        part.content["annotations"][index] = complete
    rules = dict(bbox="the labelled keypoints with a margin", area=f"{BOX_AREA} of the box")
    return [f"{part.split}: {count} rows have no {key}: it is {rules[key]}" for key, count in added.items()]


def _categories_with_keypoints(part: Part) -> dict[str, Category]:
    """By name the categories that have rows with keypoints."""
    rows = part.content["annotations"]
    lengths = {row["category_id"]: len(row["keypoints"]) // 3 for row in rows if row.get("keypoints")}
    used = [category for category in part.content["categories"] if category["id"] in lengths]
    return {str(one["name"]): _read_category(one, lengths[one["id"]]) for one in used}


def _read_category(category: dict[str, Any], length: int) -> Category:
    names = list(map(str, category.get("keypoints") or (f"keypoint_{index}" for index in range(length))))
    names = [f"{text}_{index}" if text in names[:index] else text for index, text in enumerate(names)]
    found = category.get("skeleton")
    links = [link for link in found if isinstance(link, list)] if isinstance(found, list) else []
    links = [[names.index(end) + 1 if end in names else end for end in link] for link in links]
    links = [link for link in links if list(map(type, link)) == [int, int]]
    start = 0 if any(0 in link for link in links) else 1  # COCO counts from 1, some exports from 0
    pairs = dict.fromkeys((a - start, b - start) for a, b in links if a != b)
    return Category(str(category["name"]), names, [pair for pair in pairs if min(pair) >= 0 and max(pair) < len(names)])
