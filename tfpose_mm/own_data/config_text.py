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

    Args:
        out: The folder.
        category: Gives the skeleton.
        keypoints: The K keypoints.
        parts: For training and validation, perhaps for test; ``file`` becomes the file that is written.
        settings: The other values of the config.

    Returns:
        The config.
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
        base=_quote(config_path(BASE).as_posix()),
        num_keypoints=len(keypoints),
        width=settings.input_size[0],
        height=settings.input_size[1],
        interval=max(1, settings.epochs // 20),
        loaders=[
            dict(split=part.split, file=_quote(str(part.file)), images=_quote(str(part.images))) for part in parts
        ],
    )
    (out / "config.py").write_text(text, encoding="utf-8")
    return out / "config.py"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _keypoints_text(name: str, category: Category, keypoints: Sequence[Keypoint]) -> str:
    infos, links, sigmas = [], [], []
    for index, keypoint in enumerate(keypoints):
        values = (
            f"name={_quote(keypoint.name)}, id={index}, color={COLORS[keypoint.side]}, type={_quote(keypoint.half)}"
        )
        doubt = f"  # uncertain: {keypoint.doubt}" if keypoint.doubt else ""
        infos.append(f"        {index}: dict({values}, swap={_quote(keypoint.swap)}),{doubt}")
        source = "" if keypoint.known_sigma else ": a default, not measured"
        sigmas.append(f"        {keypoint.sigma},  # {' '.join(keypoint.name.split())}{source}")
    for index, (start, end) in enumerate(category.skeleton):
        ends = keypoints[start], keypoints[end]
        side = ends[0].side if ends[0].side == ends[1].side else ""
        names = ", ".join(_quote(end.name) for end in ends)
        links.append(f"        {index}: dict(link=({names}), id={index}, color={COLORS[side]}),")
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
