from __future__ import annotations

import torch

from tfpose_mm.engine import Difference, compare_parameters, format_differences


def test_differences_by_kind():
    model = {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(2), "steps": torch.tensor(0), "b": torch.ones(1)}
    checkpoint = {
        "module.a.weight": torch.ones(2, 4),
        "module.a.bias": torch.ones(2),
        "b": torch.ones(1),
        "c": torch.ones(5),
    }
    assert compare_parameters(model, {**model, "_metadata": "text"}) == []
    assert compare_parameters(model, checkpoint) == [
        Difference("a.weight", "other shape", (2, 3), (2, 4)),
        Difference("steps", "missing", (), None),
        Difference("c", "unexpected", None, (5,)),
    ]


def test_table():
    model = {f"layer{index}": torch.ones(2, 3) for index in range(43)}
    table = format_differences(compare_parameters({"scale": torch.tensor(1.0), **model}, {"layer0": torch.ones(7)}))
    lines = table.splitlines()
    assert lines[0].split() == ["|", "parameter", "|", "problem", "|", "model", "|", "checkpoint", "|"]
    assert lines[2].split() == ["|", "scale", "|", "missing", "|", "scalar", "|", "-", "|"]
    assert lines[3].split() == ["|", "layer0", "|", "other", "shape", "|", "2", "x", "3", "|", "7", "|"]
    assert len(lines) == 2 + 40 + 1
    assert lines[-1] == "and 4 more"
    assert len({len(line) for line in lines[:-1]}) == 1
