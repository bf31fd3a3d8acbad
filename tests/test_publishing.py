from __future__ import annotations

import hashlib
import json

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmpose.apis import init_model
from safetensors import safe_open

from tests.helpers.processes import NO_WORKERS, TFPOSE, mim, start, succeed
from tfpose_mm.engine import read_checkpoint
from tfpose_mm.engine.checkpoint_values import to_plain
from tfpose_mm.errors import UserError
from tfpose_mm.publishing import publish


@pytest.mark.slow
def test_every_tool_takes_what_is_published(people, tmp_path):
    succeed(mim("train", "--work-dir", "work", cwd=tmp_path, data=people))
    command = [*TFPOSE, "publish", "work/epoch_1.pth", "out/tiny"]
    printed = succeed(start(*command, cwd=tmp_path))
    weights = next((tmp_path / "out").glob("tiny-*.safetensors"))
    config, digest = weights.with_suffix(".py"), hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f"tiny-{digest[:8]}.safetensors"
    with safe_open(str(weights), framework="pt") as file:
        meta = json.loads(file.metadata()["tfpose_mm"])
    lines = (f"weights: out/{weights.name}", f"sha256:  {digest}", f"config:  out/{config.name}", "metrics: coco/AP")
    assert "\n".join(lines) in printed
    assert weights.stat().st_size < 0.5 * (tmp_path / "work/epoch_1.pth").stat().st_size  # no optimizer state
    assert meta["epoch"] == 1
    assert 0 < meta["metrics"]["PCK@0.2/PCK"] <= 1
    assert meta["dataset_meta"]["keypoint_id2name"]["0"] == "nose"
    assert meta["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert meta["config_text"] == config.read_text()

    tool = [*TFPOSE, "test", config, weights, "--out", "metrics.json", "--cfg-options"]
    succeed(start(*tool, *NO_WORKERS, cwd=tmp_path, SYNTHETIC_ROOT=people))
    found = json.loads((tmp_path / "metrics.json").read_text())["PCK@0.2/PCK"]
    assert found == pytest.approx(meta["metrics"]["PCK@0.2/PCK"])
    load = [f"load_from={weights}"]
    assert "match exactly" not in succeed(mim("train", "--work-dir", "new", cwd=tmp_path, data=people, options=load))
    model = init_model(str(config), str(weights), device="cpu")
    assert model.dataset_meta["keypoint_id2name"][0] == "nose"
    assert model.dataset_meta["sigmas"].shape == (17,)
    expected = torch.load(tmp_path / "work/epoch_1.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_weights_without_metadata(tmp_path):
    """Also parameters that share memory."""
    weight = torch.arange(6.0)
    state = {"a": weight, "b": weight, "part": weight[2:], "turned": weight.reshape(2, 3).T, "count": torch.tensor(7)}
    torch.save(state, tmp_path / "weights.pth")
    files = publish(tmp_path / "weights.pth", tmp_path / "model")
    assert files.config is None
    read = read_checkpoint(files.weights)
    assert read["meta"]["metrics"] == {}
    assert all(torch.equal(value, read["state_dict"][name]) for name, value in state.items())
    again = publish(files.weights, tmp_path / "again")  # what is published can be published under another name
    assert again.sha256 == files.sha256
    with pytest.raises(UserError, match=rf"{files.weights.name} exists already: delete it or choose another name"):
        publish(tmp_path / "weights.pth", tmp_path / "model")
    assert set(tmp_path.iterdir()) == {tmp_path / "weights.pth", files.weights, again.weights}


def test_nothing_to_publish(tmp_path):
    torch.save(dict(meta=dict(epoch=1)), tmp_path / "empty.pth")
    with pytest.raises(UserError, match="must have parameters, but has none"):
        publish(tmp_path / "empty.pth", tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_the_config_s_text_is_not_executed(tmp_path):
    marker = tmp_path / "ran"
    code = f"open({str(marker)!r}, 'w').close()\n"
    paths = "work_dir = '/home/me/secret'\nload_from = None\nlauncher = 'none'\n"
    text = f"model = dict(\n    a=1)\n{paths}{code}resume = False\n"
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
