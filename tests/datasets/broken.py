"""Break annotation files: draw changes of a good file, and see what a training makes of the result."""

from __future__ import annotations

import copy
import json

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmpose.registry import DATASETS

from tests.helpers.paths import TINY
from tfpose_mm.errors import UserError

INF, NAN = float("inf"), float("nan")
VALUES = [None, True, False, "", "abc", "1.5", "\0", [], [1, 2], [[]], {}, {"id": 1}]
VALUES += [NAN, INF, -INF, 0, -0.0, 1, 2, 3, 0.5, -1, 17, 99999, 1e-30, 1e7, -1e30, 1e300, 2**31, 2**63, 10**400]
values = st.one_of(
    st.sampled_from(VALUES), st.floats(-1000, 1000), st.floats(), st.integers(), st.text(max_size=5)
)  # of any kind


def repeatable(cases):
    """Settings of hypothesis: the same cases in each run."""
    return settings(
        max_examples=cases,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def changed_text(draw, content):
    """A json file with one to five changes, at random places of its tree or of its bytes."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 5]))):
        _change(draw, content)
    data = json.dumps(content).encode()
    kind = draw(st.sampled_from(["tree"] * 8 + ["cut", "bytes"]))
    place = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:place]
    if kind == "bytes":
        noise = draw(st.binary(min_size=1, max_size=4))
        return data[:place] + noise + data[place + len(noise) :]
    return data


def _change(draw, content):
    """Change one value of a tree of dicts and lists, near its root or in a row."""
    parent, key = content, None
    for _ in range(draw(st.sampled_from([1, 2, 3, 3, 3, 3, 4, 4, 4]))):
        child = content if key is None else parent[key]
        if not isinstance(child, (dict, list)) or not child:
            break
        parent = child
        key = draw(st.sampled_from(sorted(child) if isinstance(child, dict) else range(len(child))))
    if key is None:
        return
    action = draw(st.sampled_from(["replace"] * 6 + ["delete", "copy", "empty", "every"]))
    if action == "replace":
        parent[key] = copy.deepcopy(draw(values))
    elif action == "delete":
        del parent[key]
    elif action == "copy" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif action == "empty" and isinstance(parent[key], (dict, list)):
        parent[key].clear()
    elif action == "every" and isinstance(key, str):  # in all rows, as a faulty script writes them
        value, drop = draw(values), draw(st.booleans())
        rows = content.get("annotations") if isinstance(content, dict) else content
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and key in row:
                if drop:
                    del row[key]
                else:
                    row[key] = copy.deepcopy(value)


def dataset_config(split, **changes):
    """The data set of the demo's train or test dataloader, for use in this process."""
    cfg = Config.fromfile(str(TINY))[f"{split}_dataloader"].dataset
    return dict(cfg.to_dict(), data_root=None, serialize_data=False, **changes)


def with_half_body(pipeline, prob):
    """The same pipeline with another probability of half-body crops."""
    return [dict(step, prob=prob) if step["type"] == "RandomHalfBody" else step for step in pipeline]


def try_to_load(config, names):
    """Load a data set and all its samples.

    Args:
        config: Of the data set.
        names: Of the files, of which an error must name one.

    Returns:
        "loaded", "refused at the start" or "refused in training"; anything else fails the test.
    """
    stage = "refused at the start"
    try:
        dataset = DATASETS.build(config)
        stage = "refused in training"
        assert len(dataset) > 0
        for index in range(len(dataset)):
            check_sample(dataset[index])
    except UserError as error:
        check_sentence(str(error), names)
        return stage
    return "loaded"


def check_sample(sample):
    """A sample must be finite, with a box that has an area."""
    truth, labels = sample["data_samples"].gt_instances, sample["data_samples"].gt_instance_labels
    boxes = truth.bboxes
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert np.isfinite(truth.keypoints).all()
    assert np.isfinite(truth.bbox_scales).all()
    assert (truth.bbox_scales > 0).all()
    for value in labels.values():
        assert torch.isfinite(value).all()
    if "keypoint_weights" in labels:
        assert set(labels.keypoint_weights.unique().tolist()) <= {0.0, 1.0}


def check_sentence(text, names):
    """An error is one line that names the file and says how to fix it."""
    assert any(str(name) in text for name in names), text
    assert "\n" not in text
    assert len(text) < 900
    assert text.endswith(".")
    assert ": " in text
