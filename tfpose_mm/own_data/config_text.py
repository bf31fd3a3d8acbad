"""Write the files of ``tfpose init``: keypoints, config, and the annotations that differ from the user's."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

from ..config_files import config_path
from .categories import Category
from .keypoint_names import Keypoint
from .layouts import Part
from .settings import Settings

BASE = "tfpose_two-stage_r50_coco_256x192"  # the recommended model
COLORS = {"left": [0, 255, 0], "right": [255, 128, 0], "": [51, 153, 255]}


def write_files(
    out: Path, category: Category, keypoints: Sequence[Keypoint], parts: Sequence[Part], settings: Settings
) -> Path:
    """Write ``keypoints.py``, ``config.py``, and as ``annotations/SPLIT.json`` the parts that differ from their files.

    ``file`` of such a part becomes the file that is written. Returns the path of the config.
    """
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if part.changed:
            part.file = out.resolve() / "annotations" / f"{part.split}.json"
            part.file.parent.mkdir(exist_ok=True)
            part.file.write_text(json.dumps(part.content, ensure_ascii=False), encoding="utf-8")
    loader = jinja2.FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    values = dict(
        settings._asdict(),
        name=re.sub(r"\W+", "_", out.resolve().name),
        category=" ".join(category.name.split()),
        base=config_path(BASE).as_posix(),
        keypoints=keypoints,
        links=[(keypoints[start], keypoints[end]) for start, end in category.skeleton],
        colors=COLORS,
        interval=max(1, settings.epochs // 20),
        parts=parts,
        quote=lambda text: json.dumps(str(text), ensure_ascii=False),
    )
    for name in ("keypoints.py", "config.py"):
        text = environment.get_template(f"{name}.jinja").render(values)
        (out / name).write_text(text, encoding="utf-8")
    return out / "config.py"
