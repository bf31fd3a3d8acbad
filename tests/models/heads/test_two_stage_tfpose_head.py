from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.helpers.models import HEATMAP_SIZE, build, flip_indices, images, randomise, samples, tiny_model_cfg
from tfpose_mm.errors import UserError
from tfpose_mm.models import set_attn_implementation

MAPS = dict(type="KeypointMapStage")
POOLED = dict(type="KeypointMapStage", pooled_content=True)
REGRESSION = dict(type="RegressionStage")
ALL = dict(reference_position=True, token_position=True, reference_grad="twice")
POSEUR = dict(token_position=True, reference_grad="all", output_branch=True)


def model_cfg(num_joints=5, test_cfg=None, **options):
    cfg = tiny_model_cfg(num_joints, test_cfg=test_cfg)
    cfg["head"].update(type="TwoStageTFPoseHead", **options)
    return cfg


def flip_samples(num_joints=5):
    batch = samples(num_joints=num_joints)
    for sample in batch:
        sample.set_metainfo(dict(flip_indices=flip_indices(num_joints)))
    return batch


@pytest.mark.parametrize("num_joints", [1, 14, 133])
@pytest.mark.parametrize("aux_branch", [True, False])
@pytest.mark.parametrize(("first_stage", "refinement"), [(POOLED, ALL), (REGRESSION, POSEUR)])
def test_it_trains_and_predicts(num_joints, aux_branch, first_stage, refinement):
    model = randomise(
        build(model_cfg(num_joints, aux_branch=aux_branch, first_stage=first_stage, refinement=refinement))
    )
    losses = model.loss(images(), samples(num_joints=num_joints, heatmap_size=HEATMAP_SIZE if aux_branch else None))
    first = "loss_keypoint_maps" if first_stage is POOLED else "loss_kpt_layer0"
    expected = {"loss_kpt_layer1", "loss_kpt", first, "acc_pose"}
    assert set(losses) == (expected | {"loss_heatmap"} if aux_branch else expected)
    model.parse_losses(losses)[0].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert num_joints == 1 or not without  # one joint has no other to attend to
    results = model.eval().predict(images(), samples(num_joints=num_joints))
    assert results[0].pred_instances.keypoints.shape == (1, num_joints, 2)


@pytest.mark.parametrize(("stage", "sigma"), itertools.product([MAPS, REGRESSION], [True, False]))
def test_noise_groups_are_further_losses(stage, sigma):
    loss = dict(type="TFPoseLoss", sigma_layers="all" if sigma else None)
    options = dict(first_stage=stage, sigma=sigma, loss=loss, dropout=0.0)
    configs = [model_cfg(noise_groups=groups, **options) for groups in (0, 2)]
    for cfg in configs:
        cfg["neck"]["dropout"] = 0.0
    plain, noisy = map(build, configs)
    noisy.load_state_dict(randomise(plain).state_dict())
    expected = plain.loss(images(), samples())
    losses = noisy.loss(images(), samples())
    extra = {"loss_noise_kpt_layer1", "loss_noise_kpt"}
    assert set(losses) == set(expected) | extra
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    noisy.head.noise_std = 0.0  # groups without noise are the same as the queries
    losses = noisy.loss(images(), samples())
    torch.testing.assert_close(losses["loss_noise_kpt_layer1"], expected["loss_kpt_layer1"])
    torch.testing.assert_close(losses["loss_noise_kpt"], expected["loss_kpt"])


def test_noise_moves_a_fraction_of_the_keypoints(monkeypatch):
    model = randomise(build(model_cfg(num_joints=133, noise_groups=3, noise_fraction=0.25)))
    starts = []
    stage = model.head.transformer_decoder.first_stage
    move = type(stage).move

    def recorded(self, proposal, coordinates):
        starts.append((proposal.coordinates, coordinates))
        return move(self, proposal, coordinates)

    monkeypatch.setattr(type(stage), "move", recorded)
    model.loss(images(), samples(num_joints=133))
    ((before, after),) = starts
    assert after.shape == (9, 133, 2)
    assert ((after >= 0) & (after <= 1)).all()
    moved = (before != after).any(-1).float()
    assert moved.mean() == pytest.approx(0.25, abs=0.05)
    torch.testing.assert_close(before[0], before[2])  # the groups of an image follow each other


def test_an_unknown_part_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_part'"):
        build(model_cfg(refinement=dict(no_such_part=True)))
    with pytest.raises(UserError, match="reference_grad of 'none', 'twice' or 'all', but got 'once'"):
        build(model_cfg(refinement=dict(reference_grad="once")))


@pytest.mark.parametrize("stage", [MAPS, REGRESSION])
def test_invisible_joints_give_no_loss(stage):
    model = randomise(build(model_cfg(first_stage=stage, noise_groups=1)))
    losses = model.loss(images(), samples(weights=torch.zeros(3, 5)))
    assert sum(loss for name, loss in losses.items() if "loss" in name) == 0


@pytest.mark.parametrize("kind", ["heatmap", "keypoint_map"])
def test_scores(kind):
    model = randomise(build(model_cfg(test_cfg=dict(flip_test=True, keypoint_scores=kind)))).eval()
    with torch.no_grad():
        results = model.predict(images(), flip_samples())
    scores = np.array([result.pred_instances.keypoint_scores[0] for result in results])
    assert scores.shape == (3, 5)
    assert scores.std() > 0
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_regression_has_no_keypoint_map_scores():
    model = build(model_cfg(first_stage=REGRESSION, test_cfg=dict(keypoint_scores="keypoint_map"))).eval()
    with pytest.raises(UserError, match="no keypoint maps"):
        model.predict(images(), samples())


@pytest.mark.parametrize("stage", [POOLED, REGRESSION])
def test_the_flip_test_is_equivariant(stage):
    """A mirrored image gives mirrored keypoints and the same scores."""
    scores = "keypoint_map" if stage is POOLED else None
    cfg = model_cfg(first_stage=stage, refinement=ALL, test_cfg=dict(flip_test=True, keypoint_scores=scores))
    model = randomise(build(cfg)).eval()
    with torch.no_grad():
        found = model.head.predict(
            [model.extract_feat(view) for view in (images(), images().flip(-1))], flip_samples(), model.test_cfg
        )
        mirrored = model.head.predict(
            [model.extract_feat(view) for view in (images().flip(-1), images())], flip_samples(), model.test_cfg
        )
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
    stage = model.head.transformer_decoder.first_stage
    pending = list(maps)
    monkeypatch.setattr(stage.maps, "forward", lambda *args: pending.pop(0).clone())
    starts = []
    forward = type(stage).forward

    def recorded(self, *args):
        proposal = forward(self, *args)
        starts.append(proposal.coordinates)
        return proposal

    monkeypatch.setattr(type(stage), "forward", recorded)
    feats = [model.extract_feat(images(1)) for _ in range(2)]
    batch = samples(num_joints=1)[:1]
    batch[0].set_metainfo(dict(flip_indices=[0]))
    model.head.predict(feats, batch, dict(flip_test=True))
    torch.testing.assert_close(starts[0], torch.tensor([[[4.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)
    torch.testing.assert_close(starts[1], torch.tensor([[[1.5 / 6, 6.5 / 8]]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stage", [MAPS, REGRESSION])
def test_records_begin_with_the_first_stage(stage):
    model = randomise(build(model_cfg(first_stage=stage))).eval()
    feats = model.extract_feat(images())
    coordinates, records = model.head.forward_with_records(feats)
    torch.testing.assert_close(coordinates, model.head.forward(feats))
    assert records.coordinates.shape == (3, 3, 5, 2)
    assert (records.coordinates[0, 0] - records.coordinates[0, 1]).abs().max() > 1e-3


@pytest.mark.parametrize(("first_stage", "refinement"), [(POOLED, ALL), (REGRESSION, POSEUR)])
def test_bfloat16_autocast_trains(first_stage, refinement):
    model = randomise(build(model_cfg(dropout=0.0, first_stage=first_stage, refinement=refinement, noise_groups=1)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize(("first_stage", "refinement"), [(POOLED, ALL), (REGRESSION, POSEUR)])
def test_a_batch_of_any_size_can_be_traced(first_stage, refinement):
    cfg = model_cfg(attn_implementation="grid_sample", first_stage=first_stage, refinement=refinement)
    model = randomise(build(cfg)).eval()
    set_attn_implementation(model, "grid_sample")
    model.forward = model._forward
    with torch.no_grad():
        traced = torch.jit.trace(model, (images(2),), check_trace=False)
        torch.testing.assert_close(traced(images(5)), model(images(5)), atol=1e-4, rtol=1e-4)
