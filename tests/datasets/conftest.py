from __future__ import annotations

import numpy as np
from mmengine.config import Config

from tests.helpers.paths import TINY


def dataset_config(split, **changes):
    """The data set of the demo's train or test dataloader, for use in this process."""
    cfg = Config.fromfile(str(TINY))[f"{split}_dataloader"].dataset
    return dict(cfg.to_dict(), data_root=None, serialize_data=False, **changes)


def check_sample(sample):
    """A sample must be finite, with a box that has an area."""
    truth, labels = sample["data_samples"].gt_instances, sample["data_samples"].get("gt_instance_labels", {})
    for value in (truth.bboxes, truth.keypoints, truth.bbox_scales, *labels.values()):
        assert np.isfinite(value).all()
    assert (truth.bboxes[:, 2:] > truth.bboxes[:, :2]).all()
    assert (truth.bbox_scales > 0).all()
    if "keypoint_weights" in labels:
        assert set(labels.keypoint_weights.unique().tolist()) <= {0.0, 1.0}
