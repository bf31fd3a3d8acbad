from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.models import HEATMAP_SIZE, build, flip_indices, images, randomise, samples, tiny_model_cfg
from tfpose_mm.models import KeypointMapStart, set_attn_implementation
from tfpose_mm.models.layers import local_maximum

H, W, K = 9, 7, 5
START = dict(type="KeypointMapStart")
POSITIONS = dict(reference_position=True, token_position=True)


def model_cfg(num_joints=5, test_cfg=None, **options):
    return tiny_model_cfg(num_joints, test_cfg=test_cfg, **dict(dict(start=START), **options))


def test_a_token_predicts_its_pixels_on_all_levels():
    torch.manual_seed(0)
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


def test_no_gradient_flows_through_y0():
    start = KeypointMapStart(8, K, num_levels=1)
    proposal = start(torch.randn(3, H * W, 8), ((H, W),))
    assert not proposal.coordinates.requires_grad
    assert proposal.maps.requires_grad
    torch.testing.assert_close(proposal.coordinates, local_maximum(proposal.maps.detach(), start.radius))


def test_half_precision_gives_float32_maps():
    start = KeypointMapStart(8, K, num_levels=2).bfloat16()
    proposal = start(torch.randn(3, H * W + 6, 8).bfloat16(), ((H, W), (3, 2)))
    assert proposal.maps.dtype is torch.float32
    assert proposal.coordinates.dtype is torch.float32


@pytest.mark.parametrize("num_joints", [1, 14, 133])
@pytest.mark.parametrize("aux_branch", [True, False])
@pytest.mark.parametrize("positions", [{}, POSITIONS])
def test_it_trains_and_predicts(num_joints, aux_branch, positions):
    model = randomise(build(model_cfg(num_joints, aux_branch=aux_branch, **positions)))
    losses = model.loss(images(), samples(num_joints=num_joints, heatmap_size=HEATMAP_SIZE if aux_branch else None))
    expected = {"loss_kpt_layer1", "loss_kpt", "loss_keypoint_maps", "acc_pose"}
    assert set(losses) == (expected | {"loss_heatmap"} if aux_branch else expected)
    model.parse_losses(losses)[0].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert num_joints == 1 or not without  # one joint has no other to attend to
    results = model.eval().predict(images(), samples(num_joints=num_joints))
    assert results[0].pred_instances.keypoints.shape == (1, num_joints, 2)


def test_an_unknown_part_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_part'"):
        build(model_cfg(no_such_part=True))


def test_invisible_joints_give_no_loss():
    model = randomise(build(model_cfg()))
    losses = model.loss(images(), samples(weights=torch.zeros(3, 5)))
    assert sum(loss for name, loss in losses.items() if "loss" in name) == 0


@pytest.mark.parametrize("kind", ["heatmap", "keypoint_map"])
def test_scores(kind):
    model = randomise(build(model_cfg(test_cfg=dict(flip_test=True, keypoint_scores=kind)))).eval()
    with torch.no_grad():
        results = model.predict(images(), samples())
    scores = np.array([result.pred_instances.keypoint_scores[0] for result in results])
    assert scores.shape == (3, 5)
    assert scores.std() > 0
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_the_flip_test_is_equivariant():
    """A mirrored image gives mirrored keypoints and the same scores."""
    cfg = model_cfg(**POSITIONS, test_cfg=dict(flip_test=True, keypoint_scores="keypoint_map"))
    model = randomise(build(cfg)).eval()
    with torch.no_grad():
        views = [model.extract_feat(view) for view in (images(), images().flip(-1))]
        found = model.head.predict(views, samples(), model.test_cfg)
        mirrored = model.head.predict(views[::-1], samples(), model.test_cfg)
    width = samples()[0].metainfo["input_size"][0]
    for one, other in zip(found, mirrored):
        expected = other.keypoints[:, flip_indices(5)] * [-1, 1] + [width, 0]
        np.testing.assert_allclose(one.keypoints, expected, atol=1e-3)
        np.testing.assert_allclose(one.keypoint_scores, other.keypoint_scores[:, flip_indices(5)], atol=1e-5)


def test_with_the_flip_test_both_views_start_at_the_same_maximum(monkeypatch):
    """The maps of the views have different maxima. Their mean decides, so that no mean of two modes is predicted."""
    model = randomise(build(model_cfg(num_joints=1))).eval()
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
    model.head.predict(feats, batch, dict(flip_test=True))
    torch.testing.assert_close(starts[0], torch.tensor([[[4.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(starts[1], torch.tensor([[[1.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)


def test_records_begin_with_y0():
    model = randomise(build(model_cfg())).eval()
    feats = model.extract_feat(images())
    coordinates, records = model.head.forward_with_records(feats)
    torch.testing.assert_close(coordinates, model.head.forward(feats))
    assert records.coordinates.shape == (3, 3, 5, 2)
    assert (records.coordinates[0, 0] - records.coordinates[0, 1]).abs().max() > 1e-3  # it depends on the image


def test_bfloat16_autocast_trains():
    model = randomise(build(model_cfg(dropout=0.0, **POSITIONS)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_a_batch_of_any_size_can_be_traced():
    model = randomise(build(model_cfg(**POSITIONS))).eval()
    set_attn_implementation(model, "grid_sample")
    model.forward = model._forward
    with torch.no_grad():
        traced = torch.jit.trace(model, (images(2),), check_trace=False)
        torch.testing.assert_close(traced(images(5)), model(images(5)), atol=1e-4, rtol=1e-4)
