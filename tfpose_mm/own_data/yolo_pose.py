"""Read a data set in the YOLO pose format: ``data.yaml``, images, and one text file of labels for each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from ..errors import UserError
from .layouts import Part

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
SPLITS = dict(train=("train",), val=("val", "valid", "validation"), test=("test",))
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # of Exif: the image is turned by a quarter when it is read


def find_yaml(path: Path) -> Path | None:
    """The ``data.yaml`` that a path is or has, or ``None``."""
    if path.suffix in (".yaml", ".yml"):
        return path
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")], key=lambda file: file.stem != "data")
    return next((file for file in files if b"kpt_shape" in file.read_bytes()), None)


def read_yolo_parts(file: Path) -> list[Part]:
    """Convert the data set of a ``data.yaml`` to COCO's json format: a part for each split, which is not in a file yet.

    Boxes and keypoints become pixels, x right and y down. A keypoint without visibility is visible (v is 2), unless it
    is at (0, 0).
    """
    settings = _read_settings(file)
    root = file.parent / str(settings.get("path") or "")
    root = root.resolve() if root.is_dir() else file.parent.resolve()
    categories = [
        dict(id=number + 1, name=str(name), keypoints=_keypoint_names(settings, number, file))
        for number, name in _by_number(settings, "names", file).items()
    ]
    parts = []
    for split, keys in SPLITS.items():
        places = next((settings[key] for key in keys if settings.get(key)), [])
        paths = sorted(_image_paths(root, places if isinstance(places, list) else [places]))
        content = dict(_convert(paths, root, settings["kpt_shape"]), categories=categories)
        if content["annotations"]:
            parts.append(Part(split, content, file, root, changed=True, flip_indices=settings.get("flip_idx")))
        elif places and split != "test":
            missing = f"{_label_file(paths[0])} is missing or empty" if paths else f"{places} in {root} has no image"
            raise UserError(
                f"{split} in {file} must have images with labels, but {missing}: put labels/ beside images/, or "
                "correct the path."
            )
    return parts


def _read_settings(file: Path) -> dict[str, Any]:
    """Read and check a ``data.yaml``."""
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        num_keypoints, values = map(int, settings["kpt_shape"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} must be a yaml with train, names and kpt_shape, for example [17, 3], but it cannot be used "
            f"({type(error).__name__}: {error}): correct it."
        ) from error
    if values not in (2, 3) or num_keypoints < 1 or settings["kpt_shape"] != [num_keypoints, values]:
        raise UserError(f"kpt_shape in {file} must be [K, 2] or [K, 3], but is {settings['kpt_shape']}: correct it.")
    flips = settings.get("flip_idx")
    is_list = isinstance(flips, list) and all(isinstance(index, int) for index in flips)
    is_order = is_list and sorted(flips) == list(range(num_keypoints))
    if flips is not None and not (is_order and all(flips[flips[index]] == index for index in flips)):
        raise UserError(
            f"flip_idx in {file} must exchange pairs of the {num_keypoints} keypoints, but is {flips}: correct or "
            "delete it."
        )
    return dict(settings, kpt_shape=[num_keypoints, values])


def _by_number(settings: dict[str, Any], key: str, file: Path) -> dict[int, Any]:
    found: Any = settings.get(key)
    try:
        return {int(number): one for number, one in (enumerate(found) if isinstance(found, list) else found.items())}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"{key} in {file} must be a list, or a dict with numbers as keys, but is {found}: correct it."
        ) from error


def _keypoint_names(settings: dict[str, Any], number: int, file: Path) -> list[str]:
    names, expected = settings.get("kpt_names") or [], settings["kpt_shape"][0]
    if not isinstance(names, list):
        names = _by_number(settings, "kpt_names", file).get(number) or []
    if not isinstance(names, list) or len(names) not in (0, expected):
        found = len(names) if isinstance(names, list) else names
        raise UserError(f"kpt_names in {file} must have {expected} names, as kpt_shape, but has {found}: correct it.")
    return list(map(str, names))


def _image_paths(root: Path, places: list[str]) -> Iterator[Path]:
    """Images of folders and of text files with a path in each line."""
    for place in map(str, places):
        path = root / place
        if not path.exists() and place.startswith("../"):  # Roboflow's paths are relative to a folder that is not there
            path = root / place[len("../") :]
        if path.is_file():
            yield from (root / line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        else:
            yield from (image for image in path.rglob("*") if image.suffix.lower() in SUFFIXES)


def _convert(paths: list[Path], root: Path, shape: list[int]) -> dict[str, list]:
    images, rows = [], []
    for path in paths:
        try:
            with Image.open(path) as image:
                size = image.size[::-1] if image.getexif().get(ORIENTATION) in TURNED else image.size
        except OSError as error:
            raise UserError(f"The image {path} cannot be read ({error}): replace or delete it.") from error
        name = path.relative_to(root) if path.is_relative_to(root) else path
        images.append(dict(id=len(images) + 1, file_name=name.as_posix(), width=size[0], height=size[1]))
        labels = _label_file(path)
        lines = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row = _convert_label(line, f"{labels}, line {number}", shape, size)
                rows.append(dict(row, id=len(rows) + 1, image_id=len(images)))
    return dict(images=images, annotations=rows)


def _label_file(image: Path) -> Path:
    """The label file of an image: of the last folder ``images`` in its path, the folder ``labels`` beside it."""
    parts = list(image.with_suffix(".txt").parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _convert_label(line: str, place: str, shape: list[int], size: tuple[int, int]) -> dict[str, Any]:
    """A line ``class x y width height``, then x, y and perhaps v of each keypoint; the image has width and height 1."""
    expected, width, height = 5 + shape[0] * shape[1], *size
    try:
        numbers = list(map(float, line.split()))
        category, *visible = map(int, (numbers[0], *(numbers[7::3] if shape[1] == 3 else ())))
    except (OverflowError, ValueError) as error:  # int(inf), int(nan)
        raise UserError(f"{place}: a label must be numbers, but {error}: correct the line.") from error
    if len(numbers) != expected:
        raise UserError(
            f"{place}: kpt_shape {list(shape)} needs {expected} numbers, but the line has {len(numbers)}: correct "
            "kpt_shape or the line."
        )
    x, y, w, h = (value * side for value, side in zip(numbers[1:5], (width, height, width, height)))
    keypoints = []
    for index, start in enumerate(range(5, expected, shape[1])):
        kx, ky = numbers[start : start + 2]
        v = visible[index] if visible else 2 * (kx > 0 or ky > 0)
        keypoints += [kx * width, ky * height, v] if v else [0.0, 0.0, 0]
    return dict(category_id=category + 1, bbox=[x - w / 2, y - h / 2, w, h], keypoints=keypoints)
