from __future__ import annotations

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.structures import InstanceData
from mmpose.codecs import UDPHeatmap
from mmpose.models import TopdownPoseEstimator
from mmpose.models.utils.tta import flip_coordinates
from mmpose.registry import TRANSFORMS
from mmpose.structures import PoseDataSample

from tests.helpers.models import flip_indices
from tfpose_mm.codecs import TFPoseLabel

K = 5


def crop(keypoints, input_size, flip, image_size=(311, 207)):
    """Run MMPose's own pipeline; return (label, metainfo, keypoints in the image, which may be flipped)."""
    width, height = image_size
    steps = [dict(type="GetBBoxCenterScale")]
    if flip:
        steps.append(dict(type="RandomFlip", direction="horizontal", prob=1.0))
    steps.append(dict(type="TopdownAffine", input_size=input_size, use_udp=True))
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    results = dict(
        img=np.zeros((height, width, 3), dtype=np.uint8),
        img_shape=(height, width),
        bbox=np.array([[31.5, 12.25, 244.0, 190.75]], dtype=np.float32),
        bbox_score=np.ones(1, dtype=np.float32),
        keypoints=keypoints.astype(np.float32),
        keypoints_visible=np.ones((1, K), dtype=np.float32),
        flip_indices=flip_indices(K),
    )
    return pipeline(results)


def restore(codec, labels, results):
    """Decode to pixels of the image, as the estimator does."""
    keypoints, scores = codec.decode(labels)
    sample = PoseDataSample()
    sample.set_metainfo({key: results[key] for key in ("input_size", "input_center", "input_scale")})
    sample.gt_instances = InstanceData(bboxes=results["bbox"], bbox_scores=results["bbox_score"])
    estimator = type("Estimator", (), dict(test_cfg={}))()
    prediction = InstanceData(keypoints=keypoints, keypoint_scores=scores)
    TopdownPoseEstimator.add_pred_to_datasample(estimator, [prediction], None, [sample])
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
    np.testing.assert_allclose(restored, results["keypoints"], atol=1e-3, rtol=0)
    if flip:  # keypoints of the flipped image are those of the image, flipped
        mirrored = np.stack([310 - keypoints[..., 0], keypoints[..., 1]], -1)[:, flip_indices(K)]
        np.testing.assert_allclose(restored, mirrored, atol=1e-3, rtol=0)


def test_label_of_a_mirrored_crop_is_one_minus_x():
    codec = TFPoseLabel((96, 128))
    keypoints = np.random.default_rng(1).uniform(0, 95, (1, K, 2))
    mirrored = np.stack([95 - keypoints[..., 0], keypoints[..., 1]], -1)[:, flip_indices(K)]
    of_mirrored = torch.from_numpy(codec.encode(mirrored)["keypoint_labels"])
    back = flip_coordinates(of_mirrored, flip_indices(K), shift_coords=False, input_size=(96, 128))
    np.testing.assert_allclose(back.numpy(), codec.encode(keypoints)["keypoint_labels"], atol=1e-6)


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
