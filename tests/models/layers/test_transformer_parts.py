from __future__ import annotations

import pytest
import torch
import torch.utils.checkpoint

from tfpose_mm.models.layers import transformer_parts
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
    ffn.layers.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        output = ffn(x)
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    assert len(calls) == -(-35 // piece)
    assert torch.equal(ffn(x), expected)


def test_a_checkpointed_pass_draws_the_dropout_of_its_second(monkeypatch):
    """The first pass of a reentrant checkpoint has no gradients, but must not go piece by piece."""
    monkeypatch.setattr(transformer_parts, "PIECE", 4)
    ffn = FFN(8, 12, ffn_drop=0.5)
    x = torch.randn(5, 7, 8, requires_grad=True)
    torch.manual_seed(0)
    expected = ffn(x)
    torch.manual_seed(0)
    assert torch.equal(torch.utils.checkpoint.checkpoint(ffn, x, use_reentrant=True), expected)
