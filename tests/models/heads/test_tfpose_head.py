from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from mmpose.evaluation.functional import keypoint_pck_accuracy

from tests.helpers.checks import check_flip_test, check_gradients
from tests.helpers.models import TWO_STAGE, build, feature_maps, images, randomise, samples, tiny_model_cfg
from tfpose_mm.errors import UserError
from tfpose_mm.models.heads import is_tfpose_head
from tfpose_mm.models.layers import DeformableAttention, sample_heatmaps

SHAPES = ((16, 12), (8, 6), (4, 3))
MAPS = dict(type="KeypointMapStart")
SIX = dict(in_channels=[6, 6, 6], embed_dims=6, num_heads=2, norm_cfg=None)


def build_head(**cfg):
    return build(dict(tiny_model_cfg()["head"], **cfg))


def maps(channels=(32, 32, 32), seed=0):
    return feature_maps(channels, SHAPES, seed)


@pytest.mark.parametrize(
    ("num_joints", "head"),
    [
        (14, {}),
        (5, dict(aux_branch=False, query_attention=False)),
        (133, dict(start=MAPS)),
        (5, dict(TWO_STAGE, aux_branch=False)),
        (1, TWO_STAGE),
    ],
)
def test_every_parameter_gets_a_gradient_for_any_number_of_joints(num_joints, head):
    model = randomise(build(tiny_model_cfg(num_joints, **head)))
    losses = model.loss(images(), samples(num_joints=num_joints))  # its heat maps are ignored without the branch
    expected = {"loss_kpt_layer1", "loss_kpt", "acc_pose"} | ({"loss_keypoint_maps"} if "start" in head else set())
    assert set(losses) == expected | ({"loss_heatmap"} if head.get("aux_branch", True) else set())
    assert not check_gradients(model, losses) or num_joints == 1  # which has no other to attend to
    results = model.eval().predict(images(), samples(num_joints=num_joints))
    assert results[0].pred_instances.keypoints.shape == (1, num_joints, 2)


@pytest.mark.parametrize("head", [{}, dict(start=MAPS)])
def test_invisible_joints_give_no_gradient(head):
    head = randomise(build_head(**head))
    total = sum(head.loss(maps(), samples(weights=torch.zeros(3, 5))).values())
    total.backward()
    assert total.item() == 0  # the accuracy as well
    assert not [name for name, parameter in head.named_parameters() if parameter.grad.any()]  # nor NaN


def test_the_loss_is_of_what_forward_predicts():
    """The accuracy is MMPose's PCK@0.05 without unlabelled joints, and logged by default."""
    head, batch = randomise(build_head()).eval(), samples(weights=(torch.arange(15) % 4 > 0).float().view(3, 5))
    predicted = head.forward(maps()).detach()
    near = predicted + 0.03 * torch.randn(predicted.shape, generator=torch.Generator().manual_seed(0))
    for sample, label in zip(batch, near):
        sample.gt_instance_labels.keypoint_labels = label[None]
    weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch])
    losses = head.loss(maps(), batch)
    torch.testing.assert_close(losses["loss_kpt"], ((predicted - near).abs() * weights[..., None]).mean())
    _, expected, _ = keypoint_pck_accuracy(predicted.numpy(), near.numpy(), weights.numpy() > 0, 0.05, np.ones((3, 2)))
    assert isinstance(losses["acc_pose"], torch.Tensor)
    assert losses["acc_pose"].item() == pytest.approx(expected)
    assert 0 < expected < 1
    assert "acc_pose" not in head.loss(maps(), batch, dict(compute_acc=False))


def test_the_flip_test_is_the_mean_of_both_views():
    """Of the keypoints, the heat maps and the scores, which are the values of the heat maps at the keypoints."""
    head = randomise(build_head()).eval()
    views, size, flip = [maps(seed=0), maps(seed=1)], torch.tensor(head.decoder.input_size), [0, 2, 1, 4, 3]
    with torch.no_grad():
        points, heatmaps = ([run(view) for view in views] for run in (head.forward, lambda v: head.aux_branch(v[-1:])))
        plain, plain_maps = head.predict(views[0], samples(), dict(output_heatmaps=True, keypoint_scores="heatmap"))
        test_cfg = dict(flip_test=True, output_heatmaps=True, keypoint_scores="heatmap")
        flipped, mean_maps = head.predict(views, samples(), test_cfg)
        shifted = head.predict(views, samples(), dict(flip_test=True, shift_coords=True))  # for other codecs
    mirrored = torch.stack([1 - points[1][..., 0], points[1][..., 1]], -1)[:, flip]
    mean = (points[0] + mirrored) / 2
    both = (heatmaps[0] + heatmaps[1].flip(-1)[:, flip]) / 2
    for predicted, fields, at, maps_ in ((plain, plain_maps, points[0], heatmaps[0]), (flipped, mean_maps, mean, both)):
        assert len(predicted) == 3
        for index, instance in enumerate(predicted):
            np.testing.assert_allclose(instance.keypoints[0], at[index] * size, atol=1e-4)
            np.testing.assert_allclose(instance.keypoint_scores[0], sample_heatmaps(maps_, at)[index], atol=1e-6)
            torch.testing.assert_close(fields[index].heatmaps, maps_[index])
    assert sample_heatmaps(both, mean).std() > 1e-3
    # half a pixel of the input: the mean of one view that moved by one pixel and one view that did not
    np.testing.assert_allclose(flipped[0].keypoints[..., 0] - shifted[0].keypoints[..., 0], 0.5, atol=1e-4)


def test_the_flip_test_of_a_two_stage_head_is_equivariant():
    cfg = tiny_model_cfg(test_cfg=dict(flip_test=True, keypoint_scores="keypoint_map"), **TWO_STAGE)
    scores = check_flip_test(randomise(build(cfg)).eval())
    assert 0 <= scores.min() <= scores.max() <= 1


def test_the_auxiliary_branch_is_not_run_in_inference():
    head = build_head().eval()
    head.aux_branch.forward = None  # a call would raise an error
    head.predict(maps(), samples(), {})


@pytest.mark.parametrize(
    ("channels", "shapes", "head"),
    [
        ((32,), SHAPES[:1], {}),
        ((6, 32, 10, 14), ((20, 13), *SHAPES), dict(start=MAPS)),
        ((6, 6, 6), SHAPES, dict(SIX, query_attention=False)),  # not a multiple of 4
    ],
)
def test_any_pyramid(channels, shapes, head):
    """With records beside the same coordinates."""
    head = randomise(build_head(**{"in_channels": list(channels), "aux_branch": False, **head})).eval()
    feats = feature_maps(channels, shapes)
    coordinates, records = head.forward_with_records(feats)
    torch.testing.assert_close(coordinates, head.forward(feats), atol=1e-6, rtol=0)
    assert records.spatial_shapes == shapes
    assert [record.query_attention is None for record in records.layers] == [len(channels) == 3] * 2
    assert records.coordinates.shape == (3, 3, 5, 2)  # y_0, y_1, y_2
    assert torch.equal(records.coordinates[-1], coordinates)
    if head.start is None:
        y0 = head.transformer_decoder.reference_points.sigmoid().expand(3, -1, -1)
        torch.testing.assert_close(records.coordinates[0], y0)
    else:  # y_0 depends on the image
        assert (records.coordinates[0, 0] - records.coordinates[0, 1]).abs().max() > 1e-3


def test_wrapped_in_vispredicthead():
    """It keeps its initial offsets and y_0, trains, and predicts with the flip test."""
    wrapped = build(dict(type="VisPredictHead", pose_cfg=tiny_model_cfg()["head"]))
    fresh = DeformableAttention(32, 4, 3, 4).sampling_offsets.bias
    for layer in wrapped.pose_head.transformer_decoder.layers:
        assert torch.equal(layer.cross_attn.sampling_offsets.bias, fresh)
    assert wrapped.vis_head[2].weight.std() < 0.02  # the wrapper's own initialisation was run
    y0 = wrapped.pose_head.transformer_decoder.reference_points.sigmoid().expand(3, -1, -1)
    torch.testing.assert_close(wrapped.pose_head(maps()), y0, atol=1e-5, rtol=0)
    assert {"loss_vis", "loss_kpt", "loss_heatmap"} <= set(wrapped.loss(maps(), samples()))
    randomise(wrapped).eval()
    with torch.no_grad():
        (first, *_), _ = wrapped.predict([maps(), maps(seed=1)], samples(), dict(flip_test=True))
        plain = wrapped.pose_head.predict([maps(), maps(seed=1)], samples(), dict(flip_test=True))
    np.testing.assert_array_equal(first.keypoints, plain[0].keypoints)
    assert first.keypoints_visible.shape == (1, 5)


@pytest.mark.parametrize("head", [{}, TWO_STAGE])
def test_bfloat16_autocast_trains_and_predicts(head):
    model = randomise(build(tiny_model_cfg(dropout=0.0, **head)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    check_gradients(model, losses)
    if not head:  # maxima of maps may move by more than a pixel
        model.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(images(), None)
        assert rounded.dtype is torch.float32
        torch.testing.assert_close(rounded, model(images(), None), atol=0.02, rtol=0)


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
    check_gradients(model, losses)
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


def test_sizes_that_do_not_fit_are_refused():
    for cfg, message in (
        (dict(embed_dims=30, num_heads=4, norm_cfg=None), "got 30 channels and 4 heads"),
        (dict(num_layers=0), "num_layers of 1 or more, but got 0"),
        (dict(num_joints=0), "num_joints of 1 or more, but got 0"),
        (dict(in_channels=[]), "levels of 1 or more, but got 0"),
        (dict(embed_dims=48, num_heads=4), "got 48 channels and 32 groups"),
        (dict(SIX, token_position=True), "TokenPosition needs a multiple of 4 channels .* but got 6"),
        (dict(SIX, reference_position=True), "CoordinateEmbedding needs a multiple of 4 channels .* but got 6"),
    ):
        with pytest.raises(UserError, match=message):
            build_head(**cfg)
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_part'"):
        build_head(no_such_part=True)


def test_batches_that_do_not_fit_are_refused():
    head = build_head()
    with pytest.raises(UserError, match=r"built for 3 feature maps .* \[32, 32, 32\] .*\(3, 31, 4, 3\)"):
        head.forward(maps(channels=(32, 32, 31)))
    with pytest.raises(UserError, match="num_joints=5 keypoints, but the data set's keypoint labels have 14"):
        head.loss(maps(), samples(num_joints=14))
    with pytest.raises(UserError, match="num_joints=5 keypoints, but the data set's flip_indices have 14"):
        head.predict([maps(), maps()], samples(num_joints=14), dict(flip_test=True))
    with pytest.raises(UserError, match=r"targets have None.*heatmap_size"):
        head.loss(maps(), samples(heatmap_size=None))
    with pytest.raises(UserError, match=r"\(3, 5, 32, 24\) .* targets have \(3, 5, 24, 32\): set .* heatmap_size"):
        head.loss(maps(), samples(heatmap_size=(32, 24)))
    with pytest.raises(UserError, match="no auxiliary branch"):
        build_head(aux_branch=False).predict(maps(), samples(), dict(output_heatmaps=True))


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
    """They are 1 by default, and do not move the keypoints."""
    head = randomise(build_head(**cfg)).eval()
    assert head.score_kinds == kinds
    predicted = {}
    with torch.no_grad():
        for kind in (*kinds, "auto", None):
            predicted[kind] = head.predict(maps(), samples(), dict(keypoint_scores=kind))[0]
    for instances in predicted.values():
        np.testing.assert_array_equal(instances.keypoints, predicted["one"].keypoints)
    np.testing.assert_array_equal(predicted["auto"].keypoint_scores, predicted[kinds[0]].keypoint_scores)
    np.testing.assert_array_equal(predicted[None].keypoint_scores, np.ones((1, 5)))
    for missing in {"keypoint_map", "heatmap", "sigma"} - set(kinds):
        with pytest.raises(UserError, match=f"scores of this TFPoseHead are auto, .*{kinds[-1]}, but got {missing}"):
            head.predict(maps(), samples(), dict(keypoint_scores=missing))


def test_kinds_of_heads():
    assert is_tfpose_head(dict(type="TFPoseHead"))
    assert not is_tfpose_head(dict(type="RLEHead"))
    assert not is_tfpose_head(dict(type="NoSuchHead"))
