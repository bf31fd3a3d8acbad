from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from mmengine.config import Config

from tests.helpers.paths import TINY


def dataset_config(split, **changes):
    """The data set of the demo's train or test dataloader, for use in this process."""
    cfg = Config.fromfile(str(TINY))[f"{split}_dataloader"].dataset
    return {**cfg.to_dict(), **dict(data_root=None, serialize_data=False), **changes}


def check_sample(sample):
    """A sample must be finite, with a box that has an area."""
    truth, labels = sample["data_samples"].gt_instances, sample["data_samples"].get("gt_instance_labels", {})
    values = (truth.bboxes, truth.keypoints, truth.bbox_scales, *labels.values())
    assert all(np.isfinite(value).all() for value in values)
    assert (truth.bboxes[:, 2:] > truth.bboxes[:, :2]).all()
    assert (truth.bbox_scales > 0).all()
    if "keypoint_weights" in labels:
        assert set(labels.keypoint_weights.unique().tolist()) <= {0.0, 1.0}


class Data:
    """A copy of the small data set, to damage, and its config."""

    def __init__(self, root):
        self.root, self.cfg = root, Config.fromfile(str(TINY))
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            self.cfg[loader].dataset.data_root = str(root)

    def path(self, split="train"):
        return self.root / f"annotations/person_keypoints_{split}.json"

    def content(self, split="train"):
        return json.loads(self.path(split).read_text())

    def image(self, index, split="train"):
        return self.root / split / self.content(split)["images"][index]["file_name"]

    @contextmanager
    def edit(self, split="train"):
        """Change the content of an annotation file."""
        content = self.content(split)
        yield content
        self.path(split).write_text(json.dumps(content))


@pytest.fixture
def data(people, tmp_path):
    shutil.copytree(people, tmp_path / "data")
    return Data(tmp_path / "data")
