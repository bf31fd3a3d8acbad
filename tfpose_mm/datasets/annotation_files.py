"""Read json files of annotations; errors name the file, the place and the fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import MissingFileError, UserError

JSON_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def read_json(path: str | Path) -> Any:  # noqa: ANN401 - json has values of any type
    """Read a local json file in UTF-8; NaN and Infinity are read as Python reads them.

    Raises:
        UserError: If the file is missing, cannot be read, is empty, is cut, is not UTF-8 or is not json.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError as error:
        raise MissingFileError(
            f"The annotation file {path} does not exist: correct ann_file, bbox_file and data_root in the config."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"The annotation file {path} {_fault(error)}.") from error


def _fault(error: Exception) -> str:
    if isinstance(error, OSError):
        return (
            f"must be a readable file, but reading it fails with '{error.strerror}': check the path and the permissions"
        )
    if isinstance(error, UnicodeDecodeError):
        fix = "unpack the file if it is compressed, or save it as UTF-8"
        return f"must be json in UTF-8, but byte {error.start} is not UTF-8: {fix}"
    if not isinstance(error, json.JSONDecodeError):  # a number of thousands of digits; thousands of nested lists
        return f"must be json that Python can read, but reading it fails with '{error}': write the file again"
    text = error.doc.rstrip()
    if not text:
        return "must be json, but is empty: download, copy or write it again"
    if text[0] in "{[" and (error.pos >= len(text) or text[-1] not in "}]"):
        end = f"line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10)) - 1}"
        return f"must be complete json, but ends early at {end}: download, copy or write it again"
    place = f"line {error.lineno}, column {error.colno}"
    return f"must be json, but has '{error.msg}' at {place}: correct this place or write the file again"


def read_annotations(path: str | Path) -> dict[str, Any]:
    """Read an annotation file in COCO's json format; `inspect_annotations` checks the content.

    Raises:
        UserError: As `read_json`, or if the content is not an object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(
            f"The annotation file {path} must contain an object with the keys images, annotations and categories, "
            f"but contains {json_type(content)}: choose the annotation file, not a file of boxes or results."
        )
    return content


def json_type(value: object) -> str:
    """Name the type of a value in the words of json, as ``"a list"``."""
    return JSON_TYPES.get(type(value), type(value).__name__)
