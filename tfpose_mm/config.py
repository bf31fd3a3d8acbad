"""Change the codec, a pipeline step or the head of the configs that a config inherits.

MMEngine copies a base's values before a child can override them: if a child overrides the input size, the pipelines and
the head keep the old one. These functions change every copy, in place, as in::

    _base_ = "tfpose_r50_coco_256x192.py"
    from tfpose_mm.config import change_codec

    change_codec(_base_, input_size=(288, 384), sigma=3)

The import must come after ``_base_``: MMEngine reads a file that starts with imports as a pure-Python-style config.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict
from mmpose.registry import KEYPOINT_CODECS

from .errors import UserError


def change_codec(config: Config | ConfigDict, **changes: Any) -> None:  # noqa: ANN401 - a codec's arguments are of any type
    """Change the codec in ``codec``, the pipelines and the head's ``decoder``, and change every ``input_size``.

    A head's ``in_featuremap_size`` scales with the input size. The codec's sigma changes only if it is given.

    Only the given arguments change. If a copy has other values for other arguments, it keeps them.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: The codec's new arguments. If ``heatmap_size`` is not given, it scales with ``input_size``.

    Raises:
        UserError: If the config has no codec, or if the codec has no such argument.
    """
    if "codec" not in config:
        raise UserError(f"change_codec needs a config with a 'codec', but got the keys {sorted(config)}.")
    old = dict(config["codec"])
    codec = KEYPOINT_CODECS.get(old["type"])
    if codec is None:
        raise UserError(f"The codec {old['type']} is not registered: correct it or set custom_imports.")
    known = inspect.signature(codec).parameters
    if not set(changes) <= set(known):
        raise UserError(f"{old['type']} takes {', '.join(known)}, but got {', '.join(changes)}: check the names.")
    changes = dict(changes)
    if "heatmap_size" in old and "input_size" in changes and "heatmap_size" not in changes:
        sides = zip(old["heatmap_size"], old["input_size"], changes["input_size"])
        changes["heatmap_size"] = tuple(heatmap * size // before for heatmap, before, size in sides)
    for node in _dicts(config):
        if node.get("type") == old["type"]:
            _assign(node, changes)
        elif "input_size" in changes and _sides(node.get("input_size")) == _sides(old["input_size"]):
            node["input_size"] = changes["input_size"]
        if "input_size" in changes and "in_featuremap_size" in node:
            sides = zip(node["in_featuremap_size"], old["input_size"], changes["input_size"])
            node["in_featuremap_size"] = tuple(side * size // before for side, before, size in sides)


def change_steps(config: Config | ConfigDict, **changes: dict) -> None:
    """Change the pipeline steps of a type, in every pipeline.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: The arguments to change for each type of step, as in ``RandomHalfBody=dict(prob=0.0)``.

    Raises:
        UserError: If no pipeline has a step of one of the types.
    """
    for kind, arguments in changes.items():
        steps = [node for node in _dicts(config) if node.get("type") == kind]
        if not steps:
            raise UserError(f"change_steps found no step of type {kind!r} in any pipeline: check its name.")
        for step in steps:
            _assign(step, arguments)


def use_peer(config: Config | ConfigDict, keep_neck: bool = False) -> None:
    """Replace TFPose's neck and head by those of ``config.peer``; backbone, data, augmentation and schedule stay.

    ``peer`` is a dict, as in the files ``configs/_base_/peers/*.py``:

    - ``codec`` and ``head``: their configs. Arguments that are ``None`` are copied: ``input_size``, ``heatmap_size``
      and ``sigma`` from TFPose's codec; ``in_channels`` and ``in_featuremap_size`` from the backbone's last map, which
      has stride 32, or from TFPose's neck; ``num_joints`` or ``out_channels``, and ``deconv_out_channels``, from
      TFPose's head.
    - ``neck``: a neck, if the head needs one. It replaces TFPose's neck, or follows it with ``keep_neck``.
    - ``use_udp``: whether ``TopdownAffine`` uses UDP, which depends on the codec.
    - ``test_cfg`` and ``optim_wrapper``: those of the peer.

    Args:
        config: A TFPose config with a ``peer``, or ``_base_`` in a config file; it is changed.
        keep_neck: Whether to keep TFPose's neck, before the peer's, and TFPose's optimizer. Defaults to ``False``.

    Raises:
        UserError: If the config has no ``peer``.
    """
    if "peer" not in config:
        raise UserError("use_peer needs a config with a 'peer': also inherit one of configs/_base_/peers.")
    peer, model, old = config.pop("peer"), config["model"], config["codec"]
    necks = ([model["neck"]] if keep_neck else []) + ([peer["neck"]] if "neck" in peer else [])
    follows = dict(
        input_size=old["input_size"],
        heatmap_size=old["heatmap_size"],
        sigma=old["sigma"],
        in_channels=model["neck"]["out_channels"] if keep_neck else model["neck"]["in_channels"][-1],
        in_featuremap_size=tuple(side // 32 for side in old["input_size"]),
        num_joints=model["head"]["num_joints"],
        out_channels=model["head"]["num_joints"],
        deconv_out_channels=model["head"].get("deconv_out_channels", (256, 256, 256)),
    )
    codec, head = (
        {key: follows[key] if value is None else value for key, value in peer[part].items()}
        for part in ("codec", "head")
    )
    change_steps(config, GenerateTarget=dict(encoder=codec), TopdownAffine=dict(use_udp=peer["use_udp"]))
    config["codec"] = codec
    model.pop("neck")
    if necks:
        model["neck"] = necks[0] if len(necks) == 1 else dict(type="SequentialNeck", necks=necks)
    model["head"] = dict(head, decoder=codec)
    model["test_cfg"] = peer["test_cfg"]
    if not keep_neck:
        config["optim_wrapper"] = peer["optim_wrapper"]


def _sides(size: Any) -> Any:  # noqa: ANN401 - a config holds anything
    """Turn a list, as ``--cfg-options`` gives it, into a tuple."""
    return tuple(size) if isinstance(size, list) else size


def _assign(node: dict, values: dict) -> None:
    """Set values; ``ConfigDict.update`` would merge a dict into the old dict instead."""
    for key, value in values.items():
        node[key] = value


def _dicts(node: Any) -> Iterator[dict]:  # noqa: ANN401 - a config holds anything
    """Yield every dict in a nested config."""
    if isinstance(node, Config):
        node = node._cfg_dict
    if isinstance(node, dict):
        yield node
        children = list(node.values())
    else:
        children = list(node) if isinstance(node, (list, tuple)) else []
    for child in children:
        yield from _dicts(child)
