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
    name = re.sub(r"\W+", "_", out.resolve().name)
    (out / "keypoints.py").write_text(_keypoints_text(name, category, keypoints), encoding="utf-8")
    template = Path(__file__).with_name("config.py.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    text = environment.from_string(template).render(
        settings._asdict(),
        category=" ".join(category.name.split()),
        base=config_path(BASE).as_posix(),
        num_keypoints=len(keypoints),
        interval=max(1, settings.epochs // 20),
        parts=parts,
        quote=_quote,
    )
    (out / "config.py").write_text(text, encoding="utf-8")
    return out / "config.py"


def _quote(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def _keypoints_text(name: str, category: Category, keypoints: Sequence[Keypoint]) -> str:
    infos, links, sigmas = [], [], []
    for index, point in enumerate(keypoints):
        values = f"name={_quote(point.name)}, id={index}, color={COLORS[point.side]}, type={_quote(point.half)}"
        doubt = f"  # uncertain: {point.doubt}" if point.doubt else ""
        infos.append(f"        {index}: dict({values}, swap={_quote(point.swap)}),{doubt}")
        source = "" if point.known_sigma else ": a default, not measured"
        sigmas.append(f"        {point.sigma},  # {' '.join(point.name.split())}{source}")
    for index, (start, end) in enumerate(category.skeleton):
        first, last = keypoints[start], keypoints[end]
        color = COLORS[first.side if first.side == last.side else ""]
        link = f"{_quote(first.name)}, {_quote(last.name)}"
        links.append(f"        {index}: dict(link=({link}), id={index}, color={color}),")
    return "\n".join(
        [
            "# What tfpose init inferred from the names of the keypoints. Check swap, the flip pairs.",
            "dataset_info = dict(",
            f"    dataset_name={_quote(name)},",
            *("    keypoint_info={", *infos, "    },"),
            *("    skeleton_info={", *links, "    },"),
            f"    joint_weights=[1.0] * {len(keypoints)},",
            *("    sigmas=[", *sigmas, "    ],"),
            ")\n",
        ]
    )
