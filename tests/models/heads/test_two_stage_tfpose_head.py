from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.models import HEATMAP_SIZE, build, flip_indices, images, randomise, samples, tiny_model_cfg
from tfpose_mm.models import set_attn_implementation


def model_cfg(num_joints=5, first_stage=None, **options):
    cfg = tiny_model_cfg(num_joints, **options)
    cfg["head"].update(type="TwoStageTFPoseHead", first_stage=first_stage)
    return cfg


@pytest.mark.parametrize("num_joints", [1, 14, 133])
@pytest.mark.parametrize("aux_branch", [True, False])
def test_it_trains_and_predicts(num_joints, aux_branch):
    model = randomise(build(model_cfg(num_joints, aux_branch=aux_branch)))
    losses = model.loss(images(), samples(num_joints=num_joints, heatmap_size=HEATMAP_SIZE if aux_branch else None))
    expected = {"loss_kpt_layer1", "loss_kpt", "loss_keypoint_maps", "acc_pose"}
    assert set(losses) == (expected | {"loss_heatmap"} if aux_branch else expected)
    model.parse_losses(losses)[0].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert num_joints == 1 or not without  # one joint has no other to attend to
    results = model.eval().predict(images(), samples(num_joints=num_joints))
    assert results[0].pred_instances.keypoints.shape == (1, num_joints, 2)


def test_parts_can_be_switched_off():
    with_all, without = build(model_cfg()), build(model_cfg(first_stage=dict(pooled_content=False)))
    missing = set(with_all.state_dict()) - set(without.state_dict())
    assert {name.split(".")[2] for name in missing} == {"content"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_part'"):
        build(model_cfg(first_stage=dict(no_such_part=True)))


def test_invisible_joints_give_no_loss():
    model = randomise(build(model_cfg()))
    losses = model.loss(images(), samples(weights=torch.zeros(3, 5)))
    assert losses["loss_keypoint_maps"] == 0
    assert sum(loss for name, loss in losses.items() if "loss" in name) == 0


def test_flip_test_and_heat_map_scores():
    model = randomise(build(model_cfg(test_cfg=dict(flip_test=True, keypoint_scores="heatmap")))).eval()
    batch = samples()
    for sample in batch:
        sample.set_metainfo(dict(flip_indices=flip_indices(5)))
    with torch.no_grad():
        results = model.predict(images(), batch)
    scores = np.array([result.pred_instances.keypoint_scores[0] for result in results])
    assert scores.shape == (3, 5)
    assert scores.std() > 0


def test_records_begin_with_the_maxima_of_the_maps():
    model = randomise(build(model_cfg())).eval()
    feats = model.extract_feat(images())
    coordinates, records = model.head.forward_with_records(feats)
    torch.testing.assert_close(coordinates, model.head.forward(feats))
    assert records.coordinates.shape == (3, 3, 5, 2)
    assert (records.coordinates[0, 0] - records.coordinates[0, 1]).abs().max() > 1e-3


def test_bfloat16_autocast_trains():
    model = randomise(build(model_cfg(dropout=0.0)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_a_batch_of_any_size_can_be_traced():
    model = randomise(build(model_cfg(attn_implementation="grid_sample"))).eval()
    set_attn_implementation(model, "grid_sample")
    model.forward = model._forward
    with torch.no_grad():
        traced = torch.jit.trace(model, (images(2),), check_trace=False)
        torch.testing.assert_close(traced(images(5)), model(images(5)), atol=1e-4, rtol=1e-4)
