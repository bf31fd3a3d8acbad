"""Features that other models of MMPose support: compilation, memory formats, precisions, inference mode."""

from __future__ import annotations

import copy
import shutil
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.models import INPUT_SIZE, build, images, randomise, samples, tiny_model_cfg
from tfpose_mm.host.requirements import parse_version
from tfpose_mm.models import set_attn_implementation

needs_compiler = pytest.mark.skipif(not hasattr(torch, "compiler"), reason="needs torch >= 2.1")


@pytest.fixture
def model():
    return randomise(build(tiny_model_cfg(num_joints=7))).eval()


def predict(model, inputs):
    return model.head.forward(model.extract_feat(inputs))


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("guard", "sizes"),
    [(torch.no_grad, ((3, 128, 96), (2, 160, 96))), (torch.inference_mode, ((3, 128, 96),))],
)
def test_the_network_compiles_in_one_graph(model, guard, sizes):
    """``fullgraph`` raises at the first graph break; a backend that only traces needs no C++ compiler."""
    torch._dynamo.reset()
    expected = copy.deepcopy(model)
    set_attn_implementation(model, "grid_sample")
    compiled = torch.compile(lambda inputs: predict(model, inputs), fullgraph=True, backend="eager")
    with guard():
        for batch, height, width in sizes:  # from the second size on, some sizes are symbols
            inputs = torch.randn(batch, 3, height, width)
            torch.testing.assert_close(compiled(inputs), predict(expected, inputs), atol=1e-5, rtol=0)


@needs_compiler
@pytest.mark.slow
def test_predict_runs_compiled_parts(model):
    """The recipe of docs/training.md: ``predict`` runs the compiled forwards, and checkpoints keep their names."""
    torch._dynamo.reset()
    names = list(model.state_dict())
    with torch.no_grad():
        expected = model.predict(images(), samples(num_joints=7))
    set_attn_implementation(model, "grid_sample")
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for part in (model.backbone, model.neck, model.head.transformer_decoder):
        part.forward = torch.compile(part.forward, fullgraph=True, backend=backend)
    with torch.no_grad():
        output = model.predict(images(), samples(num_joints=7))
    assert len(graphs) == 3
    assert list(model.state_dict()) == names
    for ours, theirs in zip(output, expected):
        assert abs(ours.pred_instances.keypoints - theirs.pred_instances.keypoints).max() < 1e-3


@needs_compiler
@pytest.mark.slow
def test_a_compiled_network_has_the_same_gradients():
    torch._dynamo.reset()
    cfg = tiny_model_cfg(num_joints=7, dropout=0.0)
    cfg["neck"]["dropout"] = 0.0
    model = randomise(build(cfg)).eval()
    twin = copy.deepcopy(model)
    predict(model, images()).square().sum().backward()
    set_attn_implementation(twin, "grid_sample")
    compiled = torch.compile(lambda inputs: predict(twin, inputs), fullgraph=True, backend="aot_eager")
    compiled(images()).square().sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
        if ours.grad is not None:
            scale = ours.grad.abs().max().item() + 1e-3
            torch.testing.assert_close(theirs.grad / scale, ours.grad / scale, atol=1e-4, rtol=0, msg=name)


@pytest.mark.slow
@pytest.mark.skipif(
    parse_version(torch.__version__) < (2, 6) or shutil.which("g++") is None, reason="needs torch >= 2.6 and g++"
)
def test_generated_code_predicts_the_same():
    """Inductor, torch's default compiler, writes and runs C++ for the decoder."""
    torch._dynamo.reset()
    cfg = tiny_model_cfg(num_joints=7)
    cfg["head"]["num_layers"] = 1
    model = randomise(build(cfg)).eval()
    with torch.no_grad():
        expected = predict(model, images())
    set_attn_implementation(model, "grid_sample")
    decoder = model.head.transformer_decoder
    decoder.forward = torch.compile(decoder.forward, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(predict(model, images()), expected, atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("training", [False, True])
def test_generated_code_on_the_gpu(training):
    torch._dynamo.reset()
    cfg = tiny_model_cfg(num_joints=7, dropout=0.0)
    cfg["neck"]["dropout"] = 0.0
    model = randomise(build(cfg)).eval().cuda()
    twin = copy.deepcopy(model)
    set_attn_implementation(twin, "grid_sample")
    compiled = torch.compile(lambda inputs: predict(twin, inputs), fullgraph=True)
    with torch.set_grad_enabled(training):
        expected, output = predict(model, images().cuda()), compiled(images().cuda())
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=0)
    if training:
        expected.square().sum().backward()
        output.square().sum().backward()
        for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
            if ours.grad is not None:
                scale = ours.grad.abs().max().item() + 1e-3
                torch.testing.assert_close(theirs.grad / scale, ours.grad / scale, atol=1e-3, rtol=0, msg=name)


def test_channels_last_predicts_the_same(model):
    expected = predict(model, images())
    model.to(memory_format=torch.channels_last)
    output = predict(model, images().to(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


def test_channels_last_trains():
    """With 16 channels: with 8, the convolutions of torch 2.1 write outside their memory on some processors."""
    cfg = tiny_model_cfg(num_joints=7)
    cfg["backbone"].update(base_channels=16, stem_channels=16)
    cfg["neck"].update(in_channels=[32, 64, 128])
    cfg["head"].update(deconv_out_channels=(16, 16, 16))
    model = build(cfg)
    model.train().to(memory_format=torch.channels_last)
    losses = model.loss(images().to(memory_format=torch.channels_last), samples(num_joints=7))
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_autocast_predicts_nearly_the_same(model):
    expected = predict(model, images())
    with torch.autocast("cpu", torch.bfloat16):
        output = predict(model, images())
    assert output.dtype is torch.float32
    assert 0 < (output - expected).abs().max() < 0.05


@pytest.mark.parametrize(
    "test_cfg", [{}, dict(flip_test=True), dict(flip_test=True, keypoint_scores="heatmap", output_heatmaps=True)]
)
def test_a_model_in_bfloat16_predicts_nearly_the_same(test_cfg):
    """Through ``predict``: decoding, the flip test and scores included."""
    model = randomise(build(tiny_model_cfg(num_joints=7, test_cfg=test_cfg))).eval()
    with torch.no_grad():
        expected = model.predict(images(), samples(num_joints=7))
        output = model.bfloat16().predict(images().bfloat16(), samples(num_joints=7))
    for ours, theirs in zip(output, expected):
        assert ours.pred_instances.keypoints.dtype == np.float32
        assert abs(ours.pred_instances.keypoints - theirs.pred_instances.keypoints).max() < 0.05 * INPUT_SIZE[1]
        scores, exact = ours.pred_instances.keypoint_scores, theirs.pred_instances.keypoint_scores
        np.testing.assert_allclose(scores, exact, atol=0.1)


def test_inference_mode_leaves_a_model_that_trains(model):
    with torch.inference_mode():
        predict(model, images())
    losses = model.train().loss(images(), samples(num_joints=7))
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


class Coordinates(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        return predict(self.model, inputs)


def test_a_traced_network_takes_any_batch_size(model):
    """What an exporter sees. Sizes of the maps are constants on purpose: these are the only warnings."""
    set_attn_implementation(model, "grid_sample")
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(Coordinates(model), images(2), check_trace=False)
        for batch in (1, 5):
            torch.testing.assert_close(traced(images(batch)), predict(model, images(batch)), atol=1e-6, rtol=0)
    lines = {
        str(warning.message).split(" might")[0] for warning in caught if warning.category is torch.jit.TracerWarning
    }
    assert lines <= {"Converting a tensor to a Python boolean", "Converting a tensor to a Python integer"}
    names = {node.kind() for node in traced.inlined_graph.nodes()}
    assert not {"aten::tensor_split", "aten::unbind", "aten::len"} & names
