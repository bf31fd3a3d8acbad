"""What users of MMPose have with other models: compilation, memory formats, precisions, inference mode."""

from __future__ import annotations

import copy
import re
import textwrap
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.models import build, images, randomise, samples, tiny_model_cfg
from tests.helpers.paths import ROOT

needs_compiler = pytest.mark.skipif(not hasattr(torch, "compiler"), reason="needs torch >= 2.1")


@pytest.fixture
def model():
    return randomise(build(tiny_model_cfg(num_joints=7))).eval()


def predict(model, inputs):
    return model.head.forward(model.extract_feat(inputs))


@needs_compiler
@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_the_network_compiles_in_one_graph(model, guard):
    """``fullgraph`` raises at the first break; the backend that only traces needs no C++ compiler."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda inputs: predict(model, inputs), fullgraph=True, backend="eager")
    with guard():
        for size in ((3, 128, 96), (1, 128, 96), (5, 128, 96), (2, 160, 96)):  # from the second on some are symbols
            inputs = torch.randn(size[0], 3, *size[1:])
            torch.testing.assert_close(compiled(inputs), predict(model, inputs), atol=1e-6, rtol=0)


@needs_compiler
def test_predict_runs_what_the_docs_compile(model):
    """The recipe of docs/training.md: ``predict`` enters each compiled part, and checkpoints keep their names."""
    recipe = re.search(r"( {4}for part in .*\n {8}part.forward = .*\n)", (ROOT / "docs/training.md").read_text())
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    names = list(model.state_dict())
    with torch.no_grad():
        expected = model.predict(images(), samples(num_joints=7))
    compiler = SimpleNamespace(compile=lambda part: torch.compile(part, fullgraph=True, backend=backend))
    exec(textwrap.dedent(recipe[1]), dict(model=model, torch=compiler))
    with torch.no_grad():
        output = model.predict(images(), samples(num_joints=7))
    assert len(graphs) == 3
    assert list(model.state_dict()) == names
    for ours, theirs in zip(output, expected):
        assert abs(ours.pred_instances.keypoints - theirs.pred_instances.keypoints).max() < 1e-3


@needs_compiler
def test_a_compiled_network_has_the_same_gradients():
    torch._dynamo.reset()
    cfg = tiny_model_cfg(num_joints=7, dropout=0.0)
    cfg["neck"]["dropout"] = 0.0
    model = randomise(build(cfg)).eval()
    twin = copy.deepcopy(model)
    predict(model, images()).square().sum().backward()
    compiled = torch.compile(lambda inputs: predict(twin, inputs), fullgraph=True, backend="aot_eager")
    compiled(images()).square().sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
        if ours.grad is not None:
            scale = ours.grad.abs().max().item() + 1e-3
            torch.testing.assert_close(theirs.grad / scale, ours.grad / scale, atol=1e-4, rtol=0, msg=name)


def test_channels_last_predicts_the_same(model):
    expected = predict(model, images())
    model.to(memory_format=torch.channels_last)
    output = predict(model, images().to(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=0)


def test_channels_last_trains():
    """Of 16 channels: the convolutions of torch 2.1 write past their memory in a backbone of 8, on some processors."""
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


def test_a_model_in_bfloat16_predicts_nearly_the_same(model):
    expected = predict(model, images())
    output = predict(model.bfloat16(), images().bfloat16())
    assert (output.float() - expected).abs().max() < 0.05


def test_inference_mode_leaves_a_model_that_trains(model):
    with torch.inference_mode():
        predict(model, images())
    losses = model.train().loss(images(), samples(num_joints=7))
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
