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


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """A folder with work/epoch_1.pth, as mim train writes it."""
    folder = tmp_path_factory.mktemp("trained")
    process = mim("train", "--work-dir", "work", cwd=folder, data=people)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_every_tool_takes_what_is_published(trained, people):
    published = start(sys.executable, "-m", "tfpose_mm", "publish", "work/epoch_1.pth", "out/tiny", cwd=trained)
    assert published.returncode == 0, published.stderr
    weights = next((trained / "out").glob("tiny-*.safetensors"))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f"tiny-{digest[:8]}.safetensors"
    config = weights.with_suffix(".py")
    with safe_open(str(weights), framework="pt") as file:
        meta = json.loads(file.metadata()["tfpose_mm"])
    metrics = meta["metrics"]
    assert published.stdout.splitlines() == [
        f"weights: out/{weights.name}",
        f"sha256:  {digest}",
        f"config:  out/{config.name}",
        f"metrics: {', '.join(f'{name} {value:.4f}' for name, value in metrics.items())}",
    ]
    assert weights.stat().st_size < 0.5 * (trained / "work/epoch_1.pth").stat().st_size  # no optimizer state
    assert meta["epoch"] == 1
    assert 0 <= metrics["coco/AP"] <= 1
    assert 0 < metrics["PCK@0.2/PCK"] <= 1
    assert meta["dataset_meta"]["keypoint_id2name"]["0"] == "nose"
    assert meta["versions"]["torch"] == torch.__version__.partition("+")[0]
    text = config.read_text()
    assert meta["config_text"] == text
    for name in ("work_dir", "load_from", "resume", "launcher"):
        assert f"\n{name} =" not in f"\n{text}"

    again = start(sys.executable, "-m", "tfpose_mm", "publish", "work/epoch_1.pth", "out/tiny", cwd=trained)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1] == (
        f"error: out/{weights.name} exists already: choose another name; nothing was changed."
    )
    assert len(list((trained / "out").iterdir())) == 2

    for checkpoint, used in ((weights, config), (trained / "work/epoch_1.pth", TINY)):
        tool = [sys.executable, "-m", "tfpose_mm", "test", used, checkpoint, "--out", f"metrics_{used.stem}.json"]
        process = start(*tool, "--cfg-options", *NO_WORKERS, cwd=trained, SYNTHETIC_ROOT=people)
        assert process.returncode == 0, process.stderr[-3000:]
    reports = [
        json.loads((trained / f"metrics_{used.stem}.json").read_text())["PCK@0.2/PCK"] for used in (config, TINY)
    ]
    assert reports[0] == reports[1]
    tested = mim("test", "--checkpoint", weights, cwd=trained, data=people)
    assert tested.returncode == 0, tested.stderr[-3000:]
    started = mim(
        "train",
        "--work-dir",
        "second",
        cwd=trained,
        data=people,
        options=[f"load_from={weights}", "train_cfg.max_epochs=1"],
    )
    assert started.returncode == 0, started.stderr[-3000:]
    assert "does not fit" not in started.stdout + started.stderr

    model = init_model(str(config), str(weights), device="cpu")
    assert model.dataset_meta["keypoint_id2name"][0] == "nose"
    assert model.dataset_meta["sigmas"].shape == (17,)
    expected = torch.load(trained / "work/epoch_1.pth", weights_only=True)["state_dict"]
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
