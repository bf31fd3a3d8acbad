from __future__ import annotations

import pytest
import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from tfpose_mm.models.layers import linear, transformer_parts
from tfpose_mm.models.layers.transformer_parts import FFN


@pytest.mark.parametrize("piece", [1, 4, 35])
@pytest.mark.parametrize("contiguous", [True, False])
def test_pieces_of_the_tokens_make_the_whole(monkeypatch, piece, contiguous):
    torch.manual_seed(0)
    ffn = FFN(8, 12).double().eval()
    x = torch.randn(5, 7, 8, dtype=torch.float64)
    if not contiguous:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    expected = ffn(x)
    monkeypatch.setattr(transformer_parts, "PIECE", piece)
    calls = []
    monkeypatch.setattr(torch, "add", lambda *args, f=torch.add, **kw: calls.append(1) or f(*args, **kw))
    with torch.inference_mode():
        output = ffn(x)
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    assert len(calls) == -(-35 // piece)
    assert torch.equal(ffn(x), expected)


@pytest.mark.parametrize("tokens", [17, 100, 700])
def test_inference_equals_training_s_forward(monkeypatch, tokens):
    """Few rows, rows for oneDNN, and rows for which weights are reordered; in three pieces that are not alike."""
    torch.manual_seed(0)
    ffn = FFN(24, 600).eval()
    x = torch.randn(2, tokens, 24)
    monkeypatch.setattr(transformer_parts, "PIECE", -(-2 * tokens // 3))
    products = []
    multiply = linear._multiply
    monkeypatch.setattr(linear, "_multiply", lambda *args: products.append(len(args[0])) or multiply(*args))
    expected = ffn.double()(x.double())
    ffn.float()
    with torch.no_grad():
        torch.testing.assert_close(ffn(x).double(), expected, atol=1e-5, rtol=0)
    by_onednn = {17: [], 100: [67, 67, 67, 67, 66, 66], 700: [467, 467, 467, 467, 466, 466]}
    assert products == (by_onednn[tokens] if linear._product is not None else [])


@pytest.mark.parametrize("shape", [(0, 7, 8), (8,), (5, 8)])
def test_any_number_of_dimensions_and_tokens(shape):
    ffn = FFN(8, 12).eval()
    x = torch.randn(shape)
    with torch.no_grad():
        output = ffn(x)
    torch.testing.assert_close(output, ffn(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["hook", "global hook", "forward", "activation", "other layer"])
def test_who_listens_in_is_heard(kind):
    ffn = FFN(8, 12, ffn_drop=0.5).eval()
    x = torch.randn(5, 7, 8)
    calls = []
    second, hook = ffn.layers[1], None

    def note(module, *_):
        if module is second:
            calls.append(1)

    if kind == "hook":
        second.register_forward_hook(note)
    elif kind == "global hook":
        hook = register_module_forward_hook(note)
    elif kind == "forward":
        second.forward = lambda x, f=second.forward: calls.append(1) or f(x)
    elif kind == "activation":
        ffn.layers[0][1] = Listener(nn.GELU(), calls)
    else:
        ffn.layers[1] = Listener(ffn.layers[1], calls)
    try:
        with torch.no_grad():
            ffn(x)
    finally:
        if hook is not None:
            hook.remove()
    assert calls == [1]


def test_dropout_may_be_on_in_evaluation():
    """As Monte Carlo dropout has it."""
    ffn = FFN(8, 12, ffn_drop=0.5).eval()
    ffn.layers[2].train()
    x = torch.randn(5, 7, 8)
    with torch.no_grad():
        assert not torch.equal(ffn(x), ffn(x))


class Listener(nn.Module):
    def __init__(self, layer, calls):
        super().__init__()
        self.layer, self.calls = layer, calls

    def forward(self, x):
        self.calls.append(1)
        return self.layer(x)


def test_a_checkpointed_pass_draws_the_dropout_of_its_second(monkeypatch):
    """The first pass of a reentrant checkpoint has no gradients, but must not go piece by piece."""
    monkeypatch.setattr(transformer_parts, "PIECE", 4)
    ffn = FFN(8, 12, ffn_drop=0.5)
    x = torch.randn(5, 7, 8, requires_grad=True)
    torch.manual_seed(0)
    expected = ffn(x)
    torch.manual_seed(0)
    assert torch.equal(torch.utils.checkpoint.checkpoint(ffn, x, use_reentrant=True), expected)
