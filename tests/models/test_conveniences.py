"""Features that other models of MMPose support: compilation, memory formats, precisions, inference mode."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch

from tests.helpers.checks import check_gradients
from tests.helpers.models import INPUT_SIZE, TWO_STAGE, build, images, randomise, samples, tiny_model_cfg
from tfpose_mm.models import set_attn_implementation


@pytest.fixture
def twins():
    """Two models with the same weights and without dropout; the second can be compiled."""
    torch._dynamo.reset()
    cfg = tiny_model_cfg(num_joints=7, dropout=0.0)
    cfg["neck"]["dropout"] = 0.0
    model = randomise(build(cfg)).eval()
    twin = copy.deepcopy(model)
    set_attn_implementation(twin, "grid_sample")
    return model, twin


def predict(model, inputs):
    return model.head.forward(model.extract_feat(inputs))


def compare_compiled(twins, compiled, inputs, tolerance):
    """The predictions and the gradients of a compiled twin."""
    expected, output = predict(twins[0], inputs), compiled(inputs)
    torch.testing.assert_close(output, expected, atol=tolerance, rtol=0)
    expected.square().sum().backward()
    output.square().sum().backward()
    for (name, ours), theirs in zip(twins[0].named_parameters(), twins[1].parameters()):
        if ours.grad is not None:
            scale = ours.grad.abs().max().item() + 1e-3
            torch.testing.assert_close(theirs.grad / scale, ours.grad / scale, atol=10 * tolerance, rtol=0, msg=name)


@pytest.mark.slow
def test_the_network_compiles_in_one_graph(twins):
    """``fullgraph`` raises at the first graph break; backends that only trace need no C++ compiler."""
    compiled = torch.compile(lambda inputs: predict(twins[1], inputs), fullgraph=True, backend="eager")
    with torch.no_grad():
        for batch, height, width in ((3, 128, 96), (2, 160, 96)):  # from the second size on, some sizes are symbols
            inputs = torch.randn(batch, 3, height, width)
            torch.testing.assert_close(compiled(inputs), predict(twins[0], inputs), atol=1e-5, rtol=0)
    compiled = torch.compile(lambda inputs: predict(twins[1], inputs), fullgraph=True, backend="aot_eager")
    compare_compiled(twins, compiled, images(), 1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_generated_code_on_the_gpu(twins):
    """Inductor is torch's default compiler."""
    twins = tuple(model.cuda() for model in twins)
    compiled, inputs = torch.compile(lambda inputs: predict(twins[1], inputs), fullgraph=True), images().cuda()
    with torch.no_grad():
        torch.testing.assert_close(compiled(inputs), predict(twins[0], inputs), atol=1e-4, rtol=0)
    compare_compiled(twins, compiled, inputs, 1e-4)


@pytest.mark.slow
def test_predict_runs_compiled_parts(twins):
    """The recipe of docs/training.md: ``predict`` runs the compiled forwards, and checkpoints keep their names."""
    from torch._dynamo.testing import CompileCounter

    (model, twin), backend = twins, CompileCounter()
    for part in (twin.backbone, twin.neck, twin.head.transformer_decoder):
        part.forward = torch.compile(part.forward, fullgraph=True, backend=backend)
    with torch.no_grad():
        output, expected = (one.predict(images(), samples(num_joints=7)) for one in (twin, model))
    assert backend.frame_count == 3
    assert list(twin.state_dict()) == list(model.state_dict())
    for ours, theirs in zip(output, expected):
        assert abs(ours.pred_instances.keypoints - theirs.pred_instances.keypoints).max() < 1e-3


def test_channels_last():
    """With 16 channels: with 8, the convolutions of torch 2.1 write outside their memory on some processors."""
    cfg = tiny_model_cfg(num_joints=7)
    cfg["backbone"].update(base_channels=16, stem_channels=16)
    cfg["neck"].update(in_channels=[32, 64, 128])
    cfg["head"].update(deconv_out_channels=(16, 16, 16))
    model = randomise(build(cfg)).eval()
    expected = predict(model, images())
    model.to(memory_format=torch.channels_last)
    inputs = images().to(memory_format=torch.channels_last)
    torch.testing.assert_close(predict(model, inputs), expected, atol=1e-5, rtol=0)
    check_gradients(model, model.train().loss(inputs, samples(num_joints=7)))


@pytest.mark.parametrize(("scores", "head"), [("heatmap", {}), ("keypoint_map", TWO_STAGE)])
def test_a_model_in_bfloat16_predicts_nearly_the_same(scores, head):
    """Through ``predict``: decoding, the flip test and scores included."""
    test_cfg = dict(flip_test=True, keypoint_scores=scores, output_heatmaps=True)
    model = randomise(build(tiny_model_cfg(7, test_cfg=test_cfg, **head))).eval()
    with torch.no_grad():
        expected = model.predict(images(), samples(num_joints=7))
        output = model.bfloat16().predict(images().bfloat16(), samples(num_joints=7))
    for ours, theirs in zip(output, expected):
        assert ours.pred_instances.keypoints.dtype == np.float32
        if not head:  # the maxima of untrained maps may be elsewhere
            assert abs(ours.pred_instances.keypoints - theirs.pred_instances.keypoints).max() < 0.05 * INPUT_SIZE[1]
        np.testing.assert_allclose(ours.pred_instances.keypoint_scores, theirs.pred_instances.keypoint_scores, atol=0.1)


def test_sizes_that_change_and_inference_mode_leave_a_model_that_trains():
    """No tensor of one size or of inference mode is kept for the next call."""
    model, inputs = randomise(build(tiny_model_cfg(num_joints=7))).eval(), torch.randn(3, 3, 160, 96)
    with torch.inference_mode():
        first = predict(model, inputs)
    predict(model, images())
    torch.testing.assert_close(predict(model, inputs), first.clone())
    check_gradients(model, model.train().loss(images(), samples(num_joints=7)))


@pytest.mark.parametrize("head", [{}, TWO_STAGE])
def test_a_traced_network_takes_any_batch_size(head):
    """What an exporter sees. Sizes of the maps are constants on purpose: these are the only warnings."""
    model = randomise(build(tiny_model_cfg(7, **head))).eval().requires_grad_(False)
    set_attn_implementation(model, "grid_sample")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(lambda inputs: predict(model, inputs), images(2), check_trace=False)
        for batch in (1, 5):
            torch.testing.assert_close(traced(images(batch)), predict(model, images(batch)), atol=1e-5, rtol=0)
    lines = {str(line.message).split(" might")[0] for line in caught if line.category is torch.jit.TracerWarning}
    assert lines <= {"Converting a tensor to a Python boolean", "Converting a tensor to a Python integer"}
    names = {node.kind() for node in traced.inlined_graph.nodes()}
    assert not {"aten::tensor_split", "aten::unbind", "aten::len"} & names
