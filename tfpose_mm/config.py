"""What a config says in one line about the configs that it inherits.

MMEngine copies a base's values before a child can override them: a crop size overridden in a child reaches neither the
pipelines nor the head that were built from it. These functions change every copy, in place, as in::

    _base_ = "tfpose_r50_coco_256x192.py"
    from tfpose_mm.config import change_codec

    change_codec(_base_, input_size=(288, 384), sigma=3)

The import must follow ``_base_``: MMEngine takes a file that imports first for a config of its other style.
"""

from __future__ import annotations

from typing import Any, Iterator

from mmengine.config import ConfigDict


def change_codec(config: ConfigDict, **changes: Any) -> None:  # noqa: ANN401 - a codec's arguments are of any type
    """Change the codec, wherever it stands: ``codec``, pipelines, the head's ``decoder``, and every ``input_size``.

    Args:
        config: A config, or ``_base_`` in a config file; it is changed.
        **changes: The codec's arguments. A ``heatmap_size`` keeps its proportion to ``input_size`` unless it is given.

    Raises:
        ValueError: If the config has no codec.
    """
    if "codec" not in config:
        raise ValueError(f"change_codec needs a config with a 'codec', but got the keys {sorted(config)}.")
    old = dict(config["codec"])
    new = {**old, **changes}
    if "heatmap_size" in old and "heatmap_size" not in changes:
        sides = zip(old["heatmap_size"], old["input_size"], new["input_size"])
        new["heatmap_size"] = tuple(heatmap * size // before for heatmap, before, size in sides)
    for node in _dicts(config):
        if node == old:
            node.update(new)
        elif "input_size" in node and tuple(node["input_size"]) == tuple(old["input_size"]):
            node["input_size"] = new["input_size"]


def change_steps(config: ConfigDict, **changes: dict) -> None:
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
            step.update(arguments)


def _dicts(node: Any) -> Iterator[dict]:  # noqa: ANN401 - a config holds anything
    """Every dict in a nested config."""
    if isinstance(node, dict):
        yield node
        children = list(node.values())
    else:
        children = list(node) if isinstance(node, (list, tuple)) else []
    for child in children:
        yield from _dicts(child)
