from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from tests.helpers.models import randomise
from tfpose_mm.models.layers import DeformableTransformerDecoder, Proposal, RegressionBranch, TwoStageDecoder

SHAPES = ((5, 3), (3, 2))
K, C = 5, 8
LAYERS = dict(num_levels=2, num_heads=2, num_points=2, feedforward_channels=12, dropout=0.0)
PARTS = (dict(reference_position=True), dict(token_position=True), dict(output_branch=True))


class Stage(nn.Module):
    """A first stage: a linear layer on the mean token."""

    def __init__(self, content):
        super().__init__()
        self.linear = nn.Linear(C, 2 * K)
        self.content = nn.Linear(C, C) if content else None

    def forward(self, memory, spatial_shapes):
        mean = memory.mean(1)
        prediction = self.linear(mean).sigmoid().unflatten(1, (K, 2))
        content = None if self.content is None else self.content(mean)[:, None].expand(-1, K, -1)
        return Proposal(prediction, prediction.detach(), content)


def build(num_layers=3, content=False, **parts):
    decoder = TwoStageDecoder(K, num_layers, C, Stage(content), **parts, **LAYERS)
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(num_layers))
    return randomise(decoder).eval().double(), randomise(branches).double()


def memory(batch=3, seed=0):
    return torch.randn(batch, 21, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_without_its_parts_it_is_tfpose_with_another_y0():
    decoder, branches = build()
    plain = DeformableTransformerDecoder(K, 3, C, **LAYERS).eval().double()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    y0 = decoder.initial_coordinates(memory(), SHAPES)
    assert (y0[0] - y0[1]).abs().max() > 0.05  # it depends on the image
    expected = plain(memory(), SHAPES, branches, coordinates=y0)
    torch.testing.assert_close(decoder(memory(), SHAPES, branches), expected)
    assert "reference_points" not in decoder.state_dict()


@pytest.mark.parametrize(
    ("content", "reference_position", "token_position", "output_branch"), itertools.product([True, False], repeat=4)
)
@pytest.mark.parametrize("reference_grad", ["none", "twice", "all"])
def test_all_combinations_of_parts(content, reference_position, token_position, output_branch, reference_grad):
    decoder, branches = build(
        content=content,
        reference_position=reference_position,
        token_position=token_position,
        output_branch=output_branch,
        reference_grad=reference_grad,
    )
    records = []
    coordinates = decoder(memory(), SHAPES, branches, records)
    assert coordinates.shape == (3, 3, K, 2)
    assert output_branch or ((coordinates > 0) & (coordinates < 1)).all()
    assert len(records) == 3
    single = torch.cat([decoder(memory()[i : i + 1], SHAPES, branches) for i in range(3)], dim=1)
    torch.testing.assert_close(coordinates, single)  # images do not influence each other


@pytest.mark.parametrize("part", [*PARTS, dict(content=True)])
def test_each_part_changes_the_coordinates(part):
    torch.manual_seed(0)
    decoder, branches = build(**part)
    plain, _ = build()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    assert (decoder(memory(), SHAPES, branches) - plain(memory(), SHAPES, branches)).abs().max() > 1e-3


@pytest.mark.parametrize(("reference_grad", "reached"), [("none", {2}), ("twice", {1, 2}), ("all", {0, 1, 2})])
def test_reference_grad_changes_gradients_but_not_coordinates(reference_grad, reached):
    """The loss of the last layer trains the steps of the layers in ``reached``."""
    torch.manual_seed(0)
    decoder, branches = build(reference_grad=reference_grad)
    for layer in decoder.layers:  # without this, layers are also linked by their queries
        layer.register_forward_hook(lambda module, inputs, output: output.detach())
    coordinates = decoder(memory(), SHAPES, branches)
    coordinates[2].sum().backward()
    assert {i for i, branch in enumerate(branches) if branch.layers[-1].bias.grad.any()} == reached
    torch.manual_seed(0)
    other, _ = build()
    torch.testing.assert_close(other(memory(), SHAPES, branches), coordinates)


def test_an_output_branch_moves_its_own_layer_only():
    torch.manual_seed(0)
    decoder, branches = build(output_branch=True)
    before = decoder(memory(), SHAPES, branches)
    with torch.no_grad():
        decoder.output_branches[1].layers[-1].bias += torch.tensor([0.5, -2.0])
    after = decoder(memory(), SHAPES, branches)
    moved = torch.zeros_like(before)
    moved[1] = torch.tensor([0.5, -2.0])
    torch.testing.assert_close(after - before, moved)


def test_no_gradient_flows_into_the_first_stage_through_y0():
    decoder, branches = build(reference_position=True, reference_grad="all")
    decoder(memory(), SHAPES, branches).sum().backward()
    assert decoder.first_stage.linear.weight.grad is None


def test_half_precision_keeps_the_coordinates_in_float32():
    class HalfStage(Stage):
        def forward(self, memory, spatial_shapes):
            proposal = super().forward(memory, spatial_shapes)
            return proposal._replace(coordinates=proposal.coordinates.float())

    decoder = TwoStageDecoder(
        K, 2, C, HalfStage(True), reference_position=True, token_position=True, output_branch=True, **LAYERS
    )
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(2))
    output = randomise(decoder).eval().bfloat16()(memory().bfloat16(), SHAPES, randomise(branches).bfloat16())
    assert output.dtype is torch.float32
