from __future__ import annotations

import pytest
import torch
from torch import nn

from tfpose_mm.engine import read_fitting_weights
from tfpose_mm.errors import UserError


def test_differences_are_a_table(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), *(nn.Linear(1, 1, bias=False) for _ in range(41)))
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({**state, "steps": "text"}, tmp_path / "fits.pth")
    assert list(read_fitting_weights(model, tmp_path / "fits.pth")) == [*model.state_dict(), "steps"]
    del state["module.1.num_batches_tracked"]
    torch.save({**state, "c": torch.ones(5)}, tmp_path / "fits.pth")  # all parameters are there
    assert "c" in read_fitting_weights(model, tmp_path / "fits.pth")
    torch.save({"0.weight": torch.ones(2, 4), "0.bias": torch.ones(2), "c": torch.ones(5)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not fit the config's model: use the config") as error:
        read_fitting_weights(model, tmp_path / "other.pth")
    lines = str(error.value).splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["parameter", "model", "checkpoint"]
    assert rows[2] == ["0.weight", "2 x 3", "2 x 4"]
    assert rows[3] == ["1.weight", "2", "missing"]
    assert rows[7] == ["1.num_batches_tracked", "scalar", "missing"]
    assert len(lines) == 2 + 40 + 1
    assert lines[-1] == "and 8 more"
