from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tfpose_mm.models.layers import linear
from tfpose_mm.models.layers.linear import Linear

needs_onednn = pytest.mark.skipif(linear._product is None, reason="needs torch >= 2.0 with oneDNN")


def layer(bias=True):
    torch.manual_seed(0)
    return Linear.like(nn.Linear(24, 40, bias=bias))


@pytest.fixture
def products(monkeypatch):
    """How often oneDNN multiplies."""
    calls = []
    monkeypatch.setattr(linear, "_multiply", lambda *args, f=linear._multiply: calls.append(1) or f(*args))
    return calls


def transposed(x):
    return x.transpose(0, 1).contiguous().transpose(0, 1)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.clone, transposed])
def test_equals_torch_with_gradients(products, bias, layout):
    ours = layer(bias)
    exact = copy.deepcopy(ours).double()
    x = torch.randn(3, 65, 24)
    direction = torch.randn(3, 65, 40)
    mine = layout(x).requires_grad_()
    theirs = x.double().requires_grad_()

    output = ours(mine)
    expected = F.linear(theirs, exact.weight, exact.bias)
    output.backward(layout(direction))
    expected.backward(direction.double())
    assert len(products) == 3
    for result, reference in ((output, expected), (mine.grad, theirs.grad)):
        torch.testing.assert_close(result.double(), reference, atol=1e-5, rtol=0)
    for result, reference in zip(ours.parameters(), exact.parameters()):
        torch.testing.assert_close(result.grad.double(), reference.grad, atol=1e-4, rtol=0)
    with torch.inference_mode():
        torch.testing.assert_close(ours(mine), output, atol=1e-6, rtol=0)


@pytest.mark.skipif(linear._reorder is None, reason="needs torch >= 2.1 with oneDNN")
@pytest.mark.parametrize(("rows", "inputs"), [(2100, 24), (300, 600), (300, 24)])
def test_a_reordered_weight_gives_the_same(monkeypatch, rows, inputs):
    torch.manual_seed(0)
    ours = Linear(inputs, 40)
    seen = []
    monkeypatch.setattr(linear, "_product", lambda x, w, *rest, f=linear._product: seen.append(w) or f(x, w, *rest))
    x = torch.randn(rows, inputs)
    expected = F.linear(x.double(), ours.weight.double(), ours.bias.double())
    output = ours(x)
    with torch.no_grad():
        inferred, prepared = ours(x), ours.prepared(x, rows, relu=True)(x[:200])
    assert [weight.is_mkldnn for weight in seen] == [rows > 2000 or inputs > 500] * 3
    for result in (output, inferred):
        torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.double(), expected[:200].relu(), atol=1e-5, rtol=0)
    output.square().sum().backward()
    gradient = torch.autograd.grad(F.linear(x, ours.weight, ours.bias).square().sum(), ours.weight)[0]
    torch.testing.assert_close(ours.weight.grad / rows, gradient / rows, atol=1e-4, rtol=0)


@needs_onednn
@pytest.mark.parametrize("wanted", ["x", "weight", "bias"])
def test_each_gradient_can_be_had_alone(products, wanted):
    ours = layer().requires_grad_(False)
    x = torch.randn(70, 24)
    tensor = x if wanted == "x" else getattr(ours, wanted)
    tensor.requires_grad_()
    ours(x).square().sum().backward()
    (expected,) = torch.autograd.grad(F.linear(x, ours.weight, ours.bias).square().sum(), tensor)
    torch.testing.assert_close(tensor.grad, expected, atol=1e-3, rtol=1e-5)
    assert len(products) == (1 if wanted == "bias" else 2)


@pytest.mark.parametrize("kind", ["few rows", "float64", "autocast", "traced", "older torch", "off"])
def test_all_else_is_torchs(products, monkeypatch, kind):
    ours = layer()
    x = torch.randn(9 if kind == "few rows" else 90, 24)
    if kind == "float64":
        ours, x = ours.double(), x.double()
    if kind == "older torch":
        monkeypatch.setattr(linear, "_product", None)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast")
    with autocast, torch.backends.mkldnn.flags(enabled=kind != "off"):
        expected = F.linear(x, ours.weight, ours.bias)
        output = torch.jit.trace(ours, x, check_trace=False)(x) if kind == "traced" else ours(x)
    assert torch.equal(output, expected)
    assert not products


def test_another_width_is_refused_as_torch_refuses_it():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer()(torch.randn(90, 12))


def test_shares_the_parameters_and_draws_no_random_numbers():
    source = nn.Linear(5, 7)
    state = torch.get_rng_state()
    ours = Linear.like(source)
    assert torch.equal(torch.get_rng_state(), state)
    assert ours.weight is source.weight
    assert ours.bias is source.bias
    assert list(ours.state_dict()) == ["weight", "bias"]
