from __future__ import annotations

import hashlib
import json
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmpose.apis import init_model
from mmpose.registry import MODELS
from safetensors import safe_open

from tests.helpers.models import randomise
from tests.helpers.paths import TINY
from tests.helpers.processes import NO_WORKERS, mim, start
from tfpose_mm.engine import read_checkpoint
from tfpose_mm.engine.checkpoint_values import to_plain
from tfpose_mm.errors import UserError
from tfpose_mm.publishing import publish


def succeed(process):
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout + process.stderr


@pytest.mark.slow
def test_every_tool_takes_what_is_published(people, tmp_path):
    succeed(mim("train", "--work-dir", "work", cwd=tmp_path, data=people))
    command = [sys.executable, "-m", "tfpose_mm", "publish", "work/epoch_1.pth", "out/tiny"]
    printed = succeed(start(*command, cwd=tmp_path))
    weights = next((tmp_path / "out").glob("tiny-*.safetensors"))
    config, digest = weights.with_suffix(".py"), hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f"tiny-{digest[:8]}.safetensors"
    with safe_open(str(weights), framework="pt") as file:
        meta = json.loads(file.metadata()["tfpose_mm"])
    for line in (
        f"weights: out/{weights.name}",
        f"sha256:  {digest}",
        f"config:  out/{config.name}",
        "metrics: coco/AP",
    ):
        assert line in printed
    assert weights.stat().st_size < 0.5 * (tmp_path / "work/epoch_1.pth").stat().st_size  # no optimizer state
    assert meta["epoch"] == 1
    assert 0 < meta["metrics"]["PCK@0.2/PCK"] <= 1
    assert meta["dataset_meta"]["keypoint_id2name"]["0"] == "nose"
    assert meta["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert meta["config_text"] == config.read_text()
    for name in ("work_dir", "load_from", "resume", "launcher"):
        assert f"\n{name} =" not in f"\n{config.read_text()}"
    again = start(*command, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith(f"error: out/{weights.name} exists already: choose another name")
    assert len(list((tmp_path / "out").iterdir())) == 2

    tool = [sys.executable, "-m", "tfpose_mm", "test", config, weights, "--out", "metrics.json", "--cfg-options"]
    succeed(start(*tool, *NO_WORKERS, cwd=tmp_path, SYNTHETIC_ROOT=people))
    found = json.loads((tmp_path / "metrics.json").read_text())["PCK@0.2/PCK"]
    assert found == pytest.approx(meta["metrics"]["PCK@0.2/PCK"])
    succeed(mim("test", "--checkpoint", weights, cwd=tmp_path, data=people))
    options = [f"load_from={weights}", "train_cfg.max_epochs=1"]
    assert "match exactly" not in succeed(mim("train", "--work-dir", "new", cwd=tmp_path, data=people, options=options))
    model = init_model(str(config), str(weights), device="cpu")
    assert model.dataset_meta["keypoint_id2name"][0] == "nose"
    assert model.dataset_meta["sigmas"].shape == (17,)
    expected = torch.load(tmp_path / "work/epoch_1.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_weights_without_metadata(tmp_path):
    model = randomise(MODELS.build(Config.fromfile(str(TINY)).model))
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    files = publish(tmp_path / "weights.pth", tmp_path / "model")
    assert files.config is None
    read = read_checkpoint(files.weights)
    assert read["meta"]["metrics"] == {}
    assert all(torch.equal(value, read["state_dict"][name]) for name, value in model.state_dict().items())
    again = publish(files.weights, tmp_path / "again")  # what is published can be published under another name
    assert again.sha256 == files.sha256
    assert sorted(path.name for path in tmp_path.glob("*.part*")) == []


def test_nothing_to_publish(tmp_path):
    torch.save(dict(meta=dict(epoch=1)), tmp_path / "empty.pth")
    with pytest.raises(UserError, match="must have parameters, but has none"):
        publish(tmp_path / "empty.pth", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_parameters_that_share_memory(tmp_path):
    weight = torch.arange(6.0)
    state = {"a": weight, "b": weight, "part": weight[2:], "turned": weight.reshape(2, 3).T}
    torch.save(dict(state_dict=state), tmp_path / "shared.pth")
    read = read_checkpoint(publish(tmp_path / "shared.pth", tmp_path / "out").weights)["state_dict"]
    assert all(torch.equal(value, read[name]) for name, value in state.items())


def test_the_config_s_text_is_not_executed(tmp_path):
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w').close()\n"
    text = f"model = dict(\n    a=1)\nwork_dir = '/home/me/secret'\n{code}resume = False\n"
    torch.save(dict(state_dict={"a": torch.ones(1)}, meta=dict(cfg=text)), tmp_path / "a.pth")
    files = publish(tmp_path / "a.pth", tmp_path / "out")
    assert files.config.read_text() == f"model = dict(\n    a=1)\n{code}"
    assert not marker.exists()


@pytest.mark.parametrize(("validated", "metrics"), [(5, {"coco/AP": 0.75}), (3, {}), (None, {})])
def test_metrics_are_those_of_the_weights(validated, metrics, tmp_path):
    """MMEngine saves most checkpoints before their validation: its log has the values of older weights."""
    scalars = {"val/coco/AP": HistoryBuffer([0.5, 0.75], [1, 1]), "val/time": HistoryBuffer([1.0], [1])}
    hub = dict(log_scalars=scalars, runtime_info={}, resumed_keys={})
    meta = dict(iter=5, validated_iter=validated)
    torch.save(dict(state_dict={"a": torch.ones(2)}, meta=meta, message_hub=to_plain(hub)), tmp_path / "a.pth")
    assert publish(tmp_path / "a.pth", tmp_path / "out").metrics == metrics
