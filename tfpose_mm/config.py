"""Change the codec of a config, with the input size, in every place that has a copy of it.

MMEngine copies a base's values before a child can override them: if a child overrides the input size, the pipelines and
the head keep the old one. :func:`change_codec` changes every copy, in place, as in::

    _base_ = "tfpose_r50_coco_256x192.py"
    from tfpose_mm.config import change_codec

    change_codec(_base_, input_size=(288, 384), sigma=3)

The import must come after ``_base_``: MMEngine reads a file that starts with imports as a pure-Python-style config.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmpose.registry import KEYPOINT_CODECS

from .errors import UserError

UDP_CODECS = ("TFPoseLabel", "UDPHeatmap")  # exact on images that were transformed with use_udp=True


def change_codec(config: Config | ConfigDict, **changes: Any) -> None:  # noqa: ANN401 - a codec's arguments are of any type
    """Change the codec in ``codec``, the pipelines and the head's ``decoder``, and change every ``input_size``.

    A head's ``in_featuremap_size`` scales with the input size. The codec's sigma changes only if it is given.

    Only the given arguments change. If a copy has other values for other arguments, it keeps them. If ``type`` is
    given, the codec is replaced: ``changes`` are all of its arguments, and ``TopdownAffine`` uses UDP if the codec is
    one of ``UDP_CODECS``.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: The codec's new arguments. If ``heatmap_size`` is not given, it scales with ``input_size``.

    Raises:
        UserError: If the config has no codec, or if the codec has no such argument.
    """
    if "codec" not in config:
        raise UserError(f"change_codec needs a config with a 'codec', but got the keys {sorted(config)}.")
    old, changes = dict(config["codec"]), dict(changes)
    kind = changes.get("type", old["type"])
    codec = KEYPOINT_CODECS.get(kind)
    if codec is None:
        raise UserError(f"The codec {kind} is not registered: correct it or set custom_imports.")
    known = inspect.signature(codec).parameters
    if not set(changes) <= {"type", *known}:
        raise UserError(f"{kind} takes {', '.join(known)}, but got {', '.join(changes)}: check the names.")
    if {"heatmap_size"} <= set(old) & set(known) and "input_size" in changes and "heatmap_size" not in changes:
        changes["heatmap_size"] = _scale(old["heatmap_size"], old, changes)
    for node in _dicts(config._cfg_dict if isinstance(config, Config) else config):
        if node.get("type") == old["type"]:
            if "type" in changes:
                node.clear()
            for key, value in changes.items():  # ConfigDict.update would merge a dict into the old dict
                node[key] = value
            continue
        if node.get("type") == "TopdownAffine" and "type" in changes:
            node["use_udp"] = kind in UDP_CODECS
        if "input_size" in changes and np.array_equal(node.get("input_size"), old["input_size"]):  # lists or tuples
            node["input_size"] = changes["input_size"]
        if "input_size" in changes and "in_featuremap_size" in node:
            node["in_featuremap_size"] = _scale(node["in_featuremap_size"], old, changes)


def _scale(sides: tuple[int, int], old: dict, new: dict) -> tuple[int, ...]:
    """Scale (w, h) by the ratio of two codecs' input sizes."""
    return tuple(side * after // before for side, before, after in zip(sides, old["input_size"], new["input_size"]))


def _dicts(node: Any) -> Iterator[dict]:  # noqa: ANN401 - a config holds anything
    """Yield every dict in a nested config."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ()
    for child in list(children):
        yield from _dicts(child)
