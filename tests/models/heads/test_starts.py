from __future__ import annotations

import numpy as np
import torch

from tests.helpers.models import INPUT_SIZE, build, images, randomise, samples, tiny_model_cfg
from tfpose_mm.models import KeypointMapStart
from tfpose_mm.models.layers import local_maximum, probability_near

H, W, K = 9, 7, 5


def test_a_token_predicts_its_pixels_on_all_levels():
    start = KeypointMapStart(8, K, num_levels=2, upscale=2)
    memory = torch.randn(3, H * W + 1, 8)  # the coarse level has one token, which all pixels get
    logits = start(memory, ((H, W), (1, 1))).maps
    assert logits.shape == (3, K, 2 * H, 2 * W)
    finest, coarse = start.classifiers
    token = memory[1, 2 * W + 4]  # row 2, column 4
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        channel = 3 * 4 + 2 * row + column
        expected = finest(token)[channel] + coarse(memory[1, -1])[channel]
        torch.testing.assert_close(logits[1, 3, 4 + row, 8 + column], expected)


def test_y0_is_the_maximum_in_float32_without_a_gradient():
    start = KeypointMapStart(8, K, num_levels=2).bfloat16()
    proposal = start(torch.randn(3, H * W + 6, 8).bfloat16(), ((H, W), (3, 2)))
    assert not proposal.coordinates.requires_grad
    assert proposal.maps.requires_grad
    assert proposal.maps.dtype is proposal.coordinates.dtype is torch.float32
    torch.testing.assert_close(proposal.coordinates, local_maximum(proposal.maps.detach(), start.radius))


def test_with_the_flip_test_both_views_start_at_the_same_maximum(monkeypatch):
    """The maps of the views have different maxima. Their mean decides, so that no mean of two modes is predicted."""
    model = randomise(build(tiny_model_cfg(1, start=dict(type="KeypointMapStart")))).eval()
    maps = torch.full((2, 1, 1, 8, 6), -30.0)
    maps[0, ..., 2, 1] = 6.0  # the view sees this maximum with a logit of 6, the mirrored view with -30
    maps[0, ..., 6, 4] = 5.0
    maps[1, ..., 6, 1] = 5.0  # column 4 in the mirrored view
    pending, starts = list(maps), []
    monkeypatch.setattr(model.head.start, "predict_maps", lambda *args: pending.pop(0).clone())
    model.head.transformer_decoder.register_forward_pre_hook(lambda module, inputs: starts.append(inputs[3]))
    feats = [model.extract_feat(images(1)) for _ in range(2)]
    batch = samples(num_joints=1)[:1]
    batch[0].set_metainfo(dict(flip_indices=[0]))
    (predicted,) = model.head.predict(feats, batch, dict(flip_test=True, keypoint_scores="keypoint_map"))
    torch.testing.assert_close(starts[0], torch.tensor([[[4.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(starts[1], torch.tensor([[[1.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)
    points = torch.from_numpy(predicted.keypoints / INPUT_SIZE)
    expected = probability_near((maps[0] + maps[1].flip(-1)) / 2, points)
    np.testing.assert_allclose(predicted.keypoint_scores, expected, atol=1e-6)
