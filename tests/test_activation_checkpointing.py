"""MMEngine's activation checkpointing of encoder and decoder layers."""

from __future__ import annotations

import torch
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

from tests.helpers.models import build, images, randomise, samples, tiny_model_cfg

LAYERS = ["neck.transformer_encoder.layers.0", "head.transformer_decoder.layers.0", "head.transformer_decoder.layers.1"]


def gradients(model):
    model.zero_grad()
    torch.manual_seed(3)  # of dropout
    losses, _ = model.parse_losses(model.loss(images(), samples()))
    losses.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_it_does_not_change_the_gradients():
    model = randomise(build(tiny_model_cfg()))
    expected = gradients(model)
    calls = []
    layer = model.neck.transformer_encoder.layers[0]
    layer.norms[0].register_forward_hook(lambda *_: calls.append(1))
    turn_on_activation_checkpointing(model, LAYERS)
    got = gradients(model)
    assert len(calls) == 2  # in the forward pass, and again for the gradients
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, msg=name)
