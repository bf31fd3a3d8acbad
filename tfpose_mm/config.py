"""What a config says in one line about the configs that it inherits.

MMEngine copies a base's values before a child can override them: a crop size overridden in a child reaches neither the
pipelines nor the head that were built from it. These functions change every copy, in place, as in::

    _base_ = "tfpose_r50_coco_256x192.py"
    from tfpose_mm.config import change_codec

    change_codec(_base_, input_size=(288, 384), sigma=3)

The import must follow ``_base_``: MMEngine takes a file that imports first for a config of its other style.
"""

from __future__ import annotations

import inspect
from typing import Any, Iterator

from mmengine.config import Config, ConfigDict
from mmpose.registry import KEYPOINT_CODECS


def change_codec(config: Config | ConfigDict, **changes: Any) -> None:  # noqa: ANN401 - a codec's arguments are of any type
    """Change the codec, wherever it stands: ``codec``, pipelines, the head's ``decoder``; and every ``input_size``.

    A head's ``in_featuremap_size`` grows with the crop. A codec's sigma stays unless it is given.

    A copy that differs in something else keeps that difference.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: The codec's arguments. A ``heatmap_size`` keeps its proportion to ``input_size`` unless it is given.

    Raises:
        ValueError: If the config has no codec, or the codec no such argument.
    """
    if "codec" not in config:
        raise ValueError(f"change_codec needs a config with a 'codec', but got the keys {sorted(config)}.")
    old = dict(config["codec"])
    known = inspect.signature(KEYPOINT_CODECS.get(old["type"])).parameters
    if not set(changes) <= set(known):
        raise ValueError(f"{old['type']} takes {', '.join(known)}, but got {', '.join(changes)}: check the names.")
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
    """Change pipeline steps of a type, in every pipeline.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: For each type of step the arguments to change, as in ``RandomHalfBody=dict(prob=0.0)``.

    Raises:
        ValueError: If no pipeline has a step of a type.
    """
    for kind, arguments in changes.items():
        steps = [node for node in _dicts(config) if node.get("type") == kind]
        if not steps:
            raise ValueError(f"change_steps found no step of type {kind!r} in any pipeline: check its name.")
        for step in steps:
            _assign(step, arguments)


def use_peer(config: Config | ConfigDict, keep_neck: bool = False) -> None:
    """Put the head of ``config.peer`` in TFPose's place; backbone, data, augmentation and schedule stay.

    ``peer`` is a dict, as the files ``configs/_base_/peers/*.py`` hold:

    - ``codec`` and ``head``: arguments of both. Those that are ``None`` follow from data and backbone: ``input_size``,
      ``heatmap_size`` and ``sigma`` from TFPose's codec; ``in_channels`` and ``in_featuremap_size`` from the backbone's
      last map, of stride 32, or TFPose's neck; ``num_joints`` or ``out_channels``, and ``deconv_out_channels``, from
      TFPose's head.
    - ``neck``: a neck, if the head needs one, in place of TFPose's.
    - ``use_udp``: whether crops are those of UDP, as the codec wants it.
    - ``test_cfg`` and ``optim_wrapper``: the peer's own.

    Args:
        config: A TFPose config with a ``peer``, or ``_base_`` in a config file; it is changed.
        keep_neck: Whether TFPose's neck stays before the peer's, and with it TFPose's optimiser. Defaults to ``False``.

    Raises:
        ValueError: If the config has no ``peer``.
    """
    if "peer" not in config:
        raise ValueError("use_peer needs a config with a 'peer': inherit one of configs/_base_/peers, too.")
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
    """A tuple for a list, which ``--cfg-options`` gives."""
    return tuple(size) if isinstance(size, list) else size


def _assign(node: dict, values: dict) -> None:
    """Set values; ``ConfigDict.update`` would merge a dict into the one that is there."""
    for key, value in values.items():
        node[key] = value


def _dicts(node: Any) -> Iterator[dict]:  # noqa: ANN401 - a config holds anything
    """Every dict in a nested config."""
    if isinstance(node, Config):
        node = node._cfg_dict
    if isinstance(node, dict):
        yield node
        children = list(node.values())
    else:
        children = list(node) if isinstance(node, (list, tuple)) else []
    for child in children:
        yield from _dicts(child)
