from __future__ import annotations

import numpy as np
import pytest
import torch
from mmpose.codecs import IntegralRegressionLabel, MSRAHeatmap, RegressionLabel, SimCCLabel, UDPHeatmap
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, MODELS
from mmpose.structures import PoseDataSample

from benchmarks.peer_graph import PeerGraph, decode_tensors
from tests.helpers.models import randomise
from tests.helpers.paths import ROOT
from tfpose_mm.codecs import TFPoseLabel
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError

SIZES = dict(input_size=(96, 128), heatmap_size=(24, 32))
BATCH, JOINTS = 3, 14


def decode_with_mmpose(codec, outputs):
    """Decode sample by sample, as BaseHead.decode."""
    samples = zip(*outputs) if isinstance(outputs, tuple) else ((output,) for output in outputs)
    decoded = [codec.decode(*(part.numpy() for part in sample)) for sample in samples]
    return np.concatenate([keypoints for keypoints, _ in decoded]), np.concatenate([scores for _, scores in decoded])


def check(codec, outputs):
    expected = decode_with_mmpose(codec, outputs)
    for got, wanted in zip(decode_tensors(codec, outputs), expected):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize(
    "codec",
    [
        TFPoseLabel(**SIZES),
        RegressionLabel(input_size=(96, 128)),
        IntegralRegressionLabel(**SIZES, sigma=2),
    ],
    ids=lambda codec: type(codec).__name__,
)
def test_coordinates(codec):
    check(codec, torch.rand(BATCH, 1, JOINTS, 2) * 1.4 - 0.2)


def test_coordinates_with_sigma():
    check(RegressionLabel(input_size=(96, 128)), torch.rand(BATCH, 1, JOINTS, 4))


def test_simcc():
    codec = SimCCLabel(input_size=(96, 128), sigma=5.0, simcc_split_ratio=2.0)
    vectors = torch.randn(BATCH, JOINTS, 192), torch.randn(BATCH, JOINTS, 256)
    vectors[0][0, 3] = -1.0  # no maximum above 0
    check(codec, vectors)


def heatmaps(codec):
    """Maps of keypoints inside, at the border and outside, with noise."""
    rng = np.random.default_rng(0)
    points = (rng.uniform(-0.1, 1.1, (BATCH, JOINTS, 2)) * [96, 128]).astype(np.float32)
    maps = np.stack([codec.encode(person[None])["heatmaps"] for person in points])
    noise = 0.01 * rng.random(maps.shape)
    return torch.from_numpy((maps * rng.uniform(0.2, 1, (BATCH, JOINTS, 1, 1)) + noise).astype(np.float32))


@pytest.mark.parametrize("sigma", [1.5, 2])
@pytest.mark.parametrize("kind", [MSRAHeatmap, UDPHeatmap])
def test_heat_maps(kind, sigma):
    codec = kind(**SIZES, sigma=sigma)
    check(codec, heatmaps(codec))


def test_an_empty_heat_map_is_outside():
    codec = MSRAHeatmap(**SIZES, sigma=2)
    maps = heatmaps(codec)
    maps[1, 2] = -0.5
    check(codec, maps)
    keypoints, scores = decode_tensors(UDPHeatmap(**SIZES), maps)
    assert scores[1, 2] == -0.5
    assert (keypoints[1, 2] <= 0).all()


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (MSRAHeatmap(**SIZES, sigma=2, unbiased=True), "MSRAHeatmap can be exported with unbiased=False only, but has"),
        (SimCCLabel((96, 128), use_dark=True), "SimCCLabel can be exported with use_dark=False only, but has True"),
        (UDPHeatmap(**SIZES, heatmap_type="combined"), "heatmap_type='gaussian' only, but has 'combined'"),
    ],
)
def test_other_options_are_refused(codec, message):
    with pytest.raises(UserError, match=message):
        decode_tensors(codec, torch.zeros(1, 1, 2, 2))


def test_other_codecs_are_refused():
    with pytest.raises(UserError, match=r"Only the codecs TFPoseLabel, .* but the head has a object"):
        decode_tensors(object(), torch.zeros(1))


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("peer", ["simplebaseline", "simcc", "rtmpose", "rle", "dsnt", "deeppose"])
def test_the_graph_predicts_what_the_head_predicts(peer, flip_test):
    cfg = read_config(ROOT / f"benchmarks/configs/{peer}_small_lspet_128x96.py")
    torch.manual_seed(0)
    model = randomise(MODELS.build(cfg.model)).eval()
    flip = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO
    flip = list(parse_pose_metainfo(cfg.test_dataloader.dataset.get("metainfo") or flip)["flip_indices"])
    images = torch.randn(BATCH, 3, 128, 96)
    sample = PoseDataSample(metainfo=dict(flip_indices=flip, input_size=(96, 128)))
    test_cfg = dict(model.test_cfg or {}, flip_test=flip_test, output_heatmaps=False)
    with torch.no_grad():
        views = [images, images.flip(-1)] if flip_test else [images]
        feats = [model.extract_feat(view) for view in views]
        expected = model.head.predict(feats if flip_test else feats[0], [sample] * BATCH, test_cfg)
        keypoints, scores = PeerGraph(model, dict(flip_indices=flip), (96, 128), flip_test, "grid_sample")(images)
    for person, points, certain in zip(expected, keypoints, scores):
        np.testing.assert_allclose(points.numpy(), person.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(certain.numpy(), person.keypoint_scores[0], atol=1e-4)
