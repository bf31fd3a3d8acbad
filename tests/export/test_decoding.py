from __future__ import annotations

import numpy as np
import pytest
import torch
from mmpose.codecs import IntegralRegressionLabel, MSRAHeatmap, RegressionLabel, SimCCLabel, UDPHeatmap

from tfpose_mm.codecs import TFPoseLabel
from tfpose_mm.errors import UserError
from tfpose_mm.export.decoding import decode_tensors

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
