from __future__ import annotations

import pytest
import torch

from tfpose_mm.models.layers.compilation import constant_of_sizes

needs_fakes = pytest.mark.skipif(not hasattr(torch._C, "_len_torch_dispatch_stack"), reason="needs torch >= 2.0")


@pytest.fixture
def ramp():
    """A function of sizes, and how often it was computed."""
    calls = []

    @constant_of_sizes
    def function(shapes, device):
        calls.append(shapes)
        return torch.arange(sum(h * w for h, w in shapes), dtype=torch.float32, device=device)

    return function, calls


def test_sizes_are_computed_once(ramp):
    function, calls = ramp
    device = torch.device("cpu")
    first = function(((4, 3), (2, 1)), device)
    assert function(((4, 3), (2, 1)), device) is first
    assert len(function(((4, 3), (3, 1)), device)) == 15
    assert calls == [((4, 3), (2, 1)), ((4, 3), (3, 1))]


def test_inference_leaves_what_training_can_use(ramp):
    function, _ = ramp
    with torch.inference_mode():
        constant = function(((4, 3),), torch.device("cpu"))
    assert not constant.is_inference()
    factor = torch.ones(12, requires_grad=True)
    (constant * factor).sum().backward()
    assert torch.equal(factor.grad, torch.arange(12.0))


@needs_fakes
def test_fakes_are_not_kept(ramp):
    from torch._subclasses import FakeTensorMode
    from torch._subclasses.fake_tensor import FakeTensor

    function, calls = ramp
    with FakeTensorMode():
        assert isinstance(function(((4, 3),), torch.device("cpu")), FakeTensor)
    assert not isinstance(function(((4, 3),), torch.device("cpu")), FakeTensor)
    assert len(calls) == 2
