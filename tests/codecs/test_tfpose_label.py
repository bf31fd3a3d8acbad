from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.structures import InstanceData
from mmpose.codecs import UDPHeatmap
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import TRANSFORMS
from mmpose.structures import PoseDataSample

from tests.helpers.models import flip_indices
from tfpose_mm.codecs import TFPoseLabel

K = 5


def crop(keypoints, input_size, flip):
    """Run MMPose's own pipeline on an image of 311 x 207 pixels, which may be flipped."""
    steps = [dict(type="RandomFlip", direction="horizontal", prob=1.0)] if flip else []
    steps = [dict(type="GetBBoxCenterScale"), *steps, dict(type="TopdownAffine", input_size=input_size, use_udp=True)]
    results = dict(
        img=np.zeros((207, 311, 3), dtype=np.uint8),
        img_shape=(207, 311),
        bbox=np.array([[31.5, 12.25, 244.0, 190.75]], dtype=np.float32),
        bbox_score=np.ones(1, dtype=np.float32),
        keypoints=keypoints.astype(np.float32),
        keypoints_visible=np.ones((1, K), dtype=np.float32),
        flip_indices=flip_indices(K),
    )
    return Compose([TRANSFORMS.build(step) for step in steps])(results)


def restore(codec, labels, results):
    """Decode to pixels of the image, as the estimator does."""
    keypoints, scores = codec.decode(labels)
    sample = PoseDataSample(metainfo={key: results[key] for key in ("input_size", "input_center", "input_scale")})
    sample.gt_instances = InstanceData(bboxes=results["bbox"], bbox_scores=results["bbox_score"])
    prediction = InstanceData(keypoints=keypoints, keypoint_scores=scores)
    TopdownPoseEstimator.add_pred_to_datasample(SimpleNamespace(test_cfg={}), [prediction], None, [sample])
    return sample.pred_instances.keypoints


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("input_size", [(192, 256), (60, 44)])
def test_image_to_label_and_back(input_size, flip):
    codec = TFPoseLabel(input_size)
    keypoints = np.random.default_rng(0).uniform((40, 20), (230, 180), (1, K, 2))
    results = crop(keypoints, input_size, flip)
    encoded = codec.encode(results["transformed_keypoints"], results["keypoints_visible"])
    assert encoded["keypoint_weights"].all()
    restored = restore(codec, encoded["keypoint_labels"], results)
    if flip:  # keypoints of the flipped image are those of the image, flipped
        keypoints = np.stack([310 - keypoints[..., 0], keypoints[..., 1]], -1)[:, flip_indices(K)]
    np.testing.assert_allclose(restored, keypoints, atol=1e-3, rtol=0)


def test_labels_and_heatmaps_meet():
    """A heat map decoded by MMPose's own UDP codec gives the keypoint that the label gives."""
    codec = TFPoseLabel((96, 128), (24, 32))
    keypoints = np.random.default_rng(2).uniform((12, 12), (84, 112), (1, K, 2))
    encoded = codec.encode(keypoints)
    from_heatmaps, _ = UDPHeatmap((96, 128), (24, 32), sigma=2).decode(encoded["heatmaps"])
    from_labels, scores = codec.decode(encoded["keypoint_labels"])
    assert encoded["heatmaps"].shape == (K, 32, 24)
    assert codec.field_mapping_table == {"heatmaps": "heatmaps"}
    without = TFPoseLabel((96, 128))
    assert set(without.encode(keypoints)) == {"keypoint_labels", "keypoint_weights"}
    assert not without.field_mapping_table
    assert scores.shape == (1, K)
    np.testing.assert_allclose(from_heatmaps, from_labels, atol=0.05)


def test_border_and_visibility_decide_the_weight():
    codec = TFPoseLabel((96, 128), (24, 32))
    keypoints = np.array([[[0, 0], [95, 127], [95.5, 50], [40, -0.5], [40, 50]]], dtype=np.float64)
    visible = np.array([[1, 1, 1, 1, 0]], dtype=np.float32)
    encoded = codec.encode(keypoints, visible)
    assert encoded["keypoint_weights"].tolist() == [[1, 1, 0, 0, 0]]
    assert encoded["keypoint_labels"][0, :2].tolist() == [[0, 0], [1, 1]]
    assert encoded["heatmaps"][4].max() == 0


def test_bad_sizes_and_two_instances_are_refused():
    for size in ((96,), (96, 1), (96.5, 128)):
        with pytest.raises(ValueError, match=r"input_size=\(width, height\).*but got"):
            TFPoseLabel(size)
    with pytest.raises(ValueError, match="got 2 instances"):
        TFPoseLabel((96, 128)).encode(np.ones((2, K, 2)))
