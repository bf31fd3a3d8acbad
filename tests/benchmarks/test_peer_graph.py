from __future__ import annotations

import numpy as np
import torch
from mmpose.codecs import MSRAHeatmap
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from benchmarks.peer_graph import PeerGraph, decode_heatmaps
from tests.helpers.models import randomise, tiny_model_cfg

BATCH, JOINTS = 3, 14


def test_heat_maps():
    """Maps of keypoints inside, at the border and outside, with noise, and one without a positive value."""
    codec = MSRAHeatmap(input_size=(96, 128), heatmap_size=(24, 32), sigma=1.5)
    rng = np.random.default_rng(0)
    points = (rng.uniform(-0.1, 1.1, (BATCH, JOINTS, 2)) * [96, 128]).astype(np.float32)
    maps = np.stack([codec.encode(person[None])["heatmaps"] for person in points])
    maps = (maps * rng.uniform(0.2, 1, (BATCH, JOINTS, 1, 1)) + 0.01 * rng.random(maps.shape)).astype(np.float32)
    maps[1, 2] = -0.5
    locations, scores = decode_heatmaps(torch.from_numpy(maps))
    for index, one in enumerate(maps):
        keypoints, certain = codec.decode(one)
        np.testing.assert_allclose(locations[index].numpy() * 4, keypoints[0], rtol=1e-5, atol=2e-4)
        np.testing.assert_allclose(scores[index].numpy(), certain[0], rtol=1e-5)


def test_the_graph_predicts_what_the_head_predicts():
    codec = dict(type="MSRAHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    head = dict(type="HeatmapHead", in_channels=64, out_channels=JOINTS, deconv_out_channels=(8, 8, 8), decoder=codec)
    cfg = dict(tiny_model_cfg(), head=head)
    cfg["backbone"]["out_indices"] = (3,)
    del cfg["neck"]
    torch.manual_seed(0)
    model = randomise(MODELS.build(cfg)).eval()
    images = torch.randn(BATCH, 3, 128, 96)
    sample = PoseDataSample(metainfo=dict(flip_indices=list(range(JOINTS)), input_size=(96, 128)))
    with torch.no_grad():
        expected = model.head.predict(model.extract_feat(images), [sample] * BATCH, dict(flip_test=False))
        keypoints, scores = PeerGraph(model)(images)
    for person, points, certain in zip(expected, keypoints, scores):
        np.testing.assert_allclose(points.numpy(), person.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(certain.numpy(), person.keypoint_scores[0], atol=1e-4)
