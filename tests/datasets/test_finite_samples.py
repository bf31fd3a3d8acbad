from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.models import samples
from tfpose_mm.datasets.finite_samples import find_not_finite

PARTS = ("gt_instances", "gt_instance_labels", "gt_fields")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_array_is_named(value):
    (sample,) = samples(batch=1)
    sample.gt_instances.ids, sample.gt_instances.names = np.array([3]), ["a name"]
    assert find_not_finite(sample, PARTS) is None
    sample.gt_fields.heatmaps[2, 7, 3] = value
    assert find_not_finite(sample, PARTS) == "gt_fields.heatmaps"
    assert find_not_finite(sample, PARTS[:2]) is None
    del sample.gt_fields
    assert find_not_finite(sample, PARTS) is None
    sample.gt_instance_labels.keypoint_labels[0, 4, 1] = value
    assert find_not_finite(sample, PARTS) == "gt_instance_labels.keypoint_labels"
    sample.gt_instances.bboxes[0, 3] = value
    assert find_not_finite(sample, PARTS) == "gt_instances.bboxes"
    assert find_not_finite(None, PARTS) is None
