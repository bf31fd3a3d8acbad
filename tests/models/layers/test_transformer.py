from __future__ import annotations

import torch

from tfpose_mm.models.layers import DeformableTransformerEncoder


def test_training_changes_no_view_in_place():
    """Autograd would copy the hidden layer of the FFN several times."""
    shapes = ((4, 3), (2, 2))
    encoder = DeformableTransformerEncoder(1, 16, 2, num_heads=2)
    waiting, seen = [encoder(torch.randn(3, 16, 16, requires_grad=True), shapes).grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    names = {type(node).__name__ for node in seen}
    assert "ReluBackward0" in names
    assert "CopySlices" not in names
