from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.registry import MODELS
from torch import nn

from tests.helpers.models import (
    HEATMAP_SIZE,
    INPUT_SIZE,
    build,
    feature_maps,
    flip_indices,
    images,
    randomise,
    samples,
    tiny_model_cfg,
)
from tfpose_mm.models import set_attn_implementation
from tfpose_mm.models.heads import is_tfpose_head
from tfpose_mm.models.layers import DeformableAttention, sample_heatmaps

SHAPES = ((16, 12), (8, 6), (4, 3))


def build_head(num_joints=5, **cfg):
    cfg = dict(tiny_model_cfg(num_joints)["head"], **cfg)
    return build(cfg)


def maps(batch=3, channels=(32, 32, 32), seed=0):
    return feature_maps(channels, SHAPES, batch, seed)


@pytest.mark.parametrize("num_joints", [1, 14, 17, 133])
def test_any_number_of_joints(num_joints):
    model = randomise(build(tiny_model_cfg(num_joints)))
    losses = model.loss(images(), samples(num_joints=num_joints))
    assert set(losses) == {"loss_kpt_layer1", "loss_kpt", "loss_heatmap", "acc_pose"}
    assert all(torch.isfinite(loss) for loss in losses.values())
    model.eval()
    coordinates = model(images(), None, mode="tensor")
    assert coordinates.shape == (3, num_joints, 2)
    assert ((coordinates >= 0) & (coordinates <= 1)).all()
    results = model.predict(images(), samples(num_joints=num_joints))
    assert results[0].pred_instances.keypoints.shape == (1, num_joints, 2)
    assert np.array_equal(results[0].pred_instances.keypoint_scores, np.ones((1, num_joints)))


@pytest.mark.parametrize("aux_branch", [True, False])
@pytest.mark.parametrize("query_attention", [True, False])
def test_every_parameter_gets_a_gradient(aux_branch, query_attention):
    model = randomise(build(tiny_model_cfg(aux_branch=aux_branch, query_attention=query_attention)))
    losses = model.loss(images(), samples(heatmap_size=HEATMAP_SIZE if aux_branch else None))
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    assert ("loss_heatmap" in losses) == aux_branch


def test_heatmap_targets_are_ignored_without_the_branch():
    head = build_head(aux_branch=False)
    assert "loss_heatmap" not in head.loss(maps(), samples())


def test_invisible_joints_give_no_gradient():
    head = randomise(build_head())
    losses = head.loss(maps(), samples(weights=torch.zeros(3, 5)))
    total = sum(losses.values())
    total.backward()
    assert total.item() == 0
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert not parameter.grad.any(), name


def test_accuracy_is_mmpose_s_and_logged_by_default():
    """PCK@0.05 without unlabelled joints, as MMPose's regression heads log it."""
    head = randomise(build_head()).eval()
    weights = torch.ones(3, 5)
    weights[:, 2] = 0
    weights[1, 3] = 0
    batch = samples(weights=weights)
    predicted = head.forward(maps()).detach()
    near = predicted + 0.03 * torch.randn(predicted.shape, generator=torch.Generator().manual_seed(0))
    for sample, label in zip(batch, near):
        sample.gt_instance_labels.keypoint_labels = label[None]
    _, expected, _ = keypoint_pck_accuracy(predicted.numpy(), near.numpy(), weights.numpy() > 0, 0.05, np.ones((3, 2)))
    accuracy = head.loss(maps(), batch)["acc_pose"]
    assert isinstance(accuracy, torch.Tensor)
    assert accuracy.item() == pytest.approx(expected)
    assert 0 < expected < 1
    assert "acc_pose" not in head.loss(maps(), batch, dict(compute_acc=False))


def test_accuracy_of_a_batch_without_labels_is_zero():
    assert build_head().loss(maps(), samples(weights=torch.zeros(3, 5)))["acc_pose"] == 0


def test_forward_is_the_last_layer_of_the_loss():
    head = randomise(build_head()).eval()
    labels = torch.cat([s.gt_instance_labels.keypoint_labels for s in samples()])
    expected = (head.forward(maps()) - labels).abs().mean()
    torch.testing.assert_close(head.loss(maps(), samples())["loss_kpt"], expected)


def test_flip_test_is_the_mean_of_both_views():
    head = randomise(build_head()).eval()
    view, mirrored = maps(seed=0), maps(seed=1)
    with torch.no_grad():
        ours = head.predict([view, mirrored], samples(), dict(flip_test=True))
        first, second = head.forward(view), head.forward(mirrored)
    second = torch.stack([1 - second[..., 0], second[..., 1]], -1)[:, flip_indices(5)]
    expected = (first + second) / 2 * torch.tensor(INPUT_SIZE)
    for index, instance in enumerate(ours):
        np.testing.assert_allclose(instance.keypoints[0], expected[index].numpy(), atol=1e-4)


def test_flip_test_of_the_estimator_mirrors_the_image():
    model = randomise(build(tiny_model_cfg(test_cfg=dict(flip_test=True)))).eval()
    batch = images()
    with torch.no_grad():
        plain = model.predict(batch, samples())
        mirrored = model.predict(batch.flip(-1), samples())
    for a, b in zip(plain, mirrored):  # the pose of the flipped image is the flipped pose
        left, right = a.pred_instances.keypoints[0], b.pred_instances.keypoints[0][flip_indices(5)]
        np.testing.assert_allclose(left[:, 0] + right[:, 0], 2 * 40.0, atol=1e-3)
        np.testing.assert_allclose(left[:, 1], right[:, 1], atol=1e-3)


def test_shift_coords_is_for_other_codecs():
    head = randomise(build_head()).eval()
    with torch.no_grad():
        plain = head.predict([maps(), maps()], samples(), dict(flip_test=True))
        shifted = head.predict([maps(), maps()], samples(), dict(flip_test=True, shift_coords=True))
    # half a pixel of the crop: the mean of one view that moved by one pixel and one view that did not
    np.testing.assert_allclose(plain[0].keypoints[..., 0] - shifted[0].keypoints[..., 0], 0.5, atol=1e-4)


def test_output_heatmaps():
    head = randomise(build_head()).eval()
    with torch.no_grad():
        preds, fields = head.predict(maps(), samples(), dict(output_heatmaps=True))
        expected = head.aux_branch(maps()[-1:])
    assert len(preds) == 3
    torch.testing.assert_close(fields[1].heatmaps, expected[1])
    with torch.no_grad():
        _, fields = head.predict([maps(), maps(seed=1)], samples(), dict(flip_test=True, output_heatmaps=True))
        mirrored = head.aux_branch(maps(seed=1)[-1:]).flip(-1)[:, flip_indices(5)]
    torch.testing.assert_close(fields[1].heatmaps, (expected[1] + mirrored[1]) / 2)


def test_the_auxiliary_branch_is_not_run_in_inference():
    head = build_head().eval()
    calls = []
    head.aux_branch.register_forward_hook(lambda *_: calls.append(1))
    head.predict(maps(), samples(), {})
    assert calls == []
    head.predict(maps(), samples(), dict(output_heatmaps=True))
    assert calls == [1]


@pytest.mark.parametrize(("channels", "shapes"), [([32], SHAPES[:1]), ([6, 10], SHAPES[1:]), ([6, 32, 10, 14], None)])
def test_any_pyramid(channels, shapes):
    shapes = shapes or ((20, 13), *SHAPES)
    head = randomise(build_head(in_channels=channels, aux_branch=False))
    feats = feature_maps(channels, shapes)
    head.loss(feats, samples())["loss_kpt"].backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert head.eval().forward(feats).shape == (3, 5, 2)


def test_wrapping_in_vispredicthead_keeps_the_initial_offsets_and_y0():
    wrapped = build(dict(type="VisPredictHead", pose_cfg=tiny_model_cfg()["head"]))
    fresh = DeformableAttention(32, 4, 3, 4).sampling_offsets.bias
    for layer in wrapped.pose_head.transformer_decoder.layers:
        assert torch.equal(layer.cross_attn.sampling_offsets.bias, fresh)
    assert wrapped.vis_head[2].weight.std() < 0.02  # the wrapper's own initialisation was run
    y0 = wrapped.pose_head.transformer_decoder.reference_points.sigmoid().expand(3, -1, -1)
    torch.testing.assert_close(wrapped.pose_head(maps()), y0, atol=1e-5, rtol=0)
    losses = wrapped.loss(maps(), samples())
    assert {"loss_vis", "loss_kpt", "loss_heatmap"} <= set(losses)


def test_wrapped_in_vispredicthead_it_predicts_with_flip_test():
    wrapped = randomise(build(dict(type="VisPredictHead", pose_cfg=tiny_model_cfg()["head"]))).eval()
    with torch.no_grad():
        (first, *_), _ = wrapped.predict([maps(), maps(seed=1)], samples(), dict(flip_test=True))
        plain = wrapped.pose_head.predict([maps(), maps(seed=1)], samples(), dict(flip_test=True))
    np.testing.assert_array_equal(first.keypoints, plain[0].keypoints)
    assert first.keypoints_visible.shape == (1, 5)


def test_bfloat16_autocast_trains_and_predicts():
    model = randomise(build(tiny_model_cfg(dropout=0.0)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    model.eval()
    with torch.no_grad():
        exact = model(images(), None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(images(), None)
    assert rounded.dtype is torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("amp", [False, True])
def test_cuda_model_trains_and_agrees_with_the_cpu(amp):
    model = randomise(build(tiny_model_cfg(dropout=0.0))).eval()
    with torch.no_grad():
        exact = model(images(), None)
    model.cuda()
    labelled = [sample.to("cuda") for sample in samples()]
    with torch.autocast("cuda", enabled=amp):
        output = model(images().cuda(), None)
        losses = model.loss(images().cuda(), labelled)
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    torch.testing.assert_close(output.cpu(), exact, atol=2e-2 if amp else 1e-4, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_amp_trains_as_float32_does(dtype):
    """With MMEngine's ``--amp`` the loss of one repeated batch falls at least half as much as in float32."""
    from mmengine.optim import AmpOptimWrapper, OptimWrapper

    falls = []
    for wrapper in (partial(AmpOptimWrapper, dtype=dtype), OptimWrapper):
        torch.manual_seed(0)
        model = build(tiny_model_cfg(dropout=0.0)).cuda().train()
        optimiser = wrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3))
        labelled = [sample.to("cuda") for sample in samples()]
        losses = []
        for _ in range(40):
            with optimiser.optim_context(model):
                loss = sum(model.loss(images().cuda(), labelled).values())
            optimiser.update_params(loss)
            losses.append(loss.item())
        falls.append(losses[0] - losses[-1])
    assert falls[0] > 0.5 * falls[1] > 0


def test_checkpoint_gives_the_same_bits(tmp_path):
    from mmengine.runner import load_checkpoint, save_checkpoint

    model = randomise(build(tiny_model_cfg())).eval()
    save_checkpoint(dict(state_dict=model.state_dict()), str(tmp_path / "model.pth"))
    torch.manual_seed(99)
    loaded = build(tiny_model_cfg()).eval()
    assert not torch.equal(loaded(images(), None), model(images(), None))
    load_checkpoint(loaded, str(tmp_path / "model.pth"), strict=True)
    assert torch.equal(loaded(images(), None), model(images(), None))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(embed_dims=30, num_heads=4, norm_cfg=None), "got 30 channels and 4 heads"),
        (dict(num_layers=0), "num_layers of 1 or more, but got 0"),
        (dict(num_points=0), "num_points of 1 or more, but got 0"),
        (dict(num_joints=0), "num_joints of 1 or more, but got 0"),
        (dict(in_channels=[]), "levels of 1 or more, but got 0"),
        (dict(embed_dims=48, num_heads=4), "got 48 channels and 32 groups"),
    ],
)
def test_impossible_sizes_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        build_head(**cfg)


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match=r"built for 3 feature maps .* \[32, 32, 32\] .*\(3, 31, 4, 3\)"):
        build_head().forward(maps(channels=(32, 32, 31)))


def test_another_number_of_joints_is_refused():
    head = build_head(num_joints=5)
    with pytest.raises(ValueError, match="num_joints=5 keypoints, but the data set's keypoint labels have 14"):
        head.loss(maps(), samples(num_joints=14))
    with pytest.raises(ValueError, match="num_joints=5 keypoints, but the data set's flip_indices have 14"):
        head.predict([maps(), maps()], samples(num_joints=14), dict(flip_test=True))


def test_heatmaps_of_a_head_without_branch_are_refused():
    with pytest.raises(ValueError, match="no auxiliary branch"):
        build_head(aux_branch=False).predict(maps(), samples(), dict(output_heatmaps=True))


def test_missing_heatmap_targets_are_refused():
    with pytest.raises(ValueError, match=r"targets have None.*heatmap_size"):
        build_head().loss(maps(), samples(heatmap_size=None))


def test_a_head_without_codec_says_so():
    head = MODELS.build(dict(tiny_model_cfg()["head"], decoder=None)).eval()
    with pytest.raises(RuntimeError, match="decoder"):
        head.predict(maps(), samples(), {})


def scores(head, views, **test_cfg):
    with torch.no_grad():
        return np.concatenate([pred.keypoint_scores for pred in head.predict(views, samples(), test_cfg)])


def test_score_of_the_heat_map_against_its_definition():
    head = randomise(build_head()).eval()
    views = [maps(seed=0), maps(seed=1)]
    with torch.no_grad():
        heatmaps = [head.aux_branch(view[-1:]) for view in views]
        coordinates = [head.forward(view) for view in views]
    expected = sample_heatmaps(heatmaps[0], coordinates[0])
    np.testing.assert_allclose(scores(head, views[0], keypoint_scores="heatmap"), expected, atol=1e-6)
    mirrored = torch.stack([1 - coordinates[1][..., 0], coordinates[1][..., 1]], -1)[:, flip_indices(5)]
    both = (heatmaps[0] + heatmaps[1].flip(-1)[:, flip_indices(5)]) / 2
    expected = sample_heatmaps(both, (coordinates[0] + mirrored) / 2)
    np.testing.assert_allclose(scores(head, views, keypoint_scores="heatmap", flip_test=True), expected, atol=1e-6)
    assert expected.std() > 1e-3


def test_scores_do_not_move_keypoints_and_are_off_by_default():
    head = randomise(build_head()).eval()
    assert (scores(head, maps()) == 1).all()
    with torch.no_grad():
        plain, scored = (head.predict(maps(), samples(), dict(keypoint_scores=kind)) for kind in (None, "heatmap"))
    for a, b in zip(plain, scored):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        assert b.keypoint_scores.shape == (1, 5)


MAPS = dict(type="KeypointMapStart")


@pytest.mark.parametrize(
    ("cfg", "kinds"),
    [
        (dict(), ("heatmap", "one")),
        (dict(aux_branch=False), ("one",)),
        (dict(start=MAPS), ("keypoint_map", "heatmap", "one")),
        (dict(start=MAPS, aux_branch=False), ("keypoint_map", "one")),
    ],
)
def test_the_scores_that_a_head_has(cfg, kinds):
    head = randomise(build_head(**cfg)).eval()
    assert head.score_kinds == kinds
    of_kind = {kind: scores(head, maps(), keypoint_scores=kind) for kind in (*kinds, "auto", None)}
    np.testing.assert_array_equal(of_kind["auto"], of_kind[kinds[0]])
    np.testing.assert_array_equal(of_kind[None], of_kind["one"])
    for missing in {"keypoint_map", "heatmap", "sigma"} - set(kinds):
        with pytest.raises(
            ValueError, match=f"scores of this TFPoseHead are auto, .*{kinds[-1]}, but got {missing}: use"
        ):
            head.predict(maps(), samples(), dict(keypoint_scores=missing))


def test_kinds_of_heads():
    assert is_tfpose_head(dict(type="TFPoseHead"))
    assert not is_tfpose_head(dict(type="RLEHead"))
    assert not is_tfpose_head(dict(type="NoSuchHead"))


def test_channels_need_not_be_a_multiple_of_four():
    """Only the neck has a position embedding, whose channels are sine and cosine of x and y."""
    head = build_head(in_channels=[6, 6, 6], embed_dims=6, num_heads=2, norm_cfg=None)
    assert head.eval().forward(maps(channels=(6, 6, 6))).shape == (3, 5, 2)


@pytest.mark.parametrize("query_attention", [True, False])
def test_records_beside_the_same_coordinates(query_attention):
    head = randomise(build_head(query_attention=query_attention)).eval()
    with torch.no_grad():
        coordinates, records = head.forward_with_records(maps())
        torch.testing.assert_close(coordinates, head.forward(maps()), atol=1e-6, rtol=0)
    assert records.spatial_shapes == SHAPES
    assert records.coordinates.shape == (3, 3, 5, 2)  # y_0, y_1, y_2
    y0 = head.transformer_decoder.reference_points.sigmoid().expand(3, -1, -1)
    torch.testing.assert_close(records.coordinates[0], y0)
    assert torch.equal(records.coordinates[-1], coordinates)
    assert len(records.layers) == 2
    assert (records.layers[0].query_attention is not None) == query_attention


def test_records_of_a_head_that_projects():
    head = randomise(build_head(in_channels=[6, 10, 14])).eval()
    feats = feature_maps((6, 10, 14), SHAPES)
    coordinates, records = head.forward_with_records(feats)
    torch.testing.assert_close(coordinates, head.forward(feats), atol=1e-6, rtol=0)
    assert records.coordinates.shape == (3, 3, 5, 2)


class Coordinates(nn.Module):
    """The head with its maps as separate inputs, as tracing needs them."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *feats):
        return self.head.forward(feats)


def test_a_trace_takes_any_batch_size():
    """Check the exported graph: it has no fixed batch size and splits no list at run time."""
    head = randomise(build_head()).eval()
    set_attn_implementation(head, "grid_sample")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # the size of the maps is fixed
        traced = torch.jit.trace(Coordinates(head), maps(batch=2), check_trace=False)
        for batch in (1, 5):
            torch.testing.assert_close(traced(*maps(batch)), head.forward(maps(batch)), atol=1e-6, rtol=0)
    names = {node.kind() for node in traced.inlined_graph.nodes()}
    assert not {"aten::tensor_split", "aten::unbind", "aten::len"} & names
