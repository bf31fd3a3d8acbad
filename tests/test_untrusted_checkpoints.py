"""A malicious checkpoint runs no code at any entry point: our commands, mim, MMEngine's runner and inferencers."""

from __future__ import annotations

import re

import pytest
from mmengine.runner import Runner
from mmpose.apis import MMPoseInferencer, init_model
from mmpose.registry import MODELS

from tests.helpers import malicious
from tests.helpers.paths import TINY
from tests.helpers.processes import in_process_config, mim
from tfpose_mm.comparison.table import compare_models
from tfpose_mm.errors import UserError
from tfpose_mm.publishing import publish
from tfpose_mm.training import evaluate, train

REFUSED = r"contain only tensors, numbers and text, but it was not loaded \(.*posix\.system.*could run code"


@pytest.fixture
def config(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    return in_process_config(tmp_path / "work")


@pytest.fixture
def checkpoint(config, tmp_path):
    """It fits the model: without the command in its metadata every command would use it."""
    path = malicious.save(tmp_path / "malicious.pth", tmp_path / "ran", MODELS.build(config.model).state_dict())
    yield str(path)
    assert not (tmp_path / "ran").exists(), "the code of the checkpoint ran"


USES = dict(
    test=lambda cfg, checkpoint, out: evaluate(cfg, checkpoint, work_dir=out),
    train=lambda cfg, checkpoint, out: train(cfg, work_dir=out, load_from=checkpoint),
    compare=lambda cfg, checkpoint, out: compare_models([TINY], checkpoints=[checkpoint], out=out),
    publish=lambda cfg, checkpoint, out: publish(checkpoint, out / "published"),
    init_model=lambda cfg, checkpoint, out: init_model(cfg, checkpoint, device="cpu"),
    inferencer=lambda cfg, checkpoint, out: MMPoseInferencer(
        str(TINY), checkpoint, device="cpu", det_model="whole_image"
    ),
)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_functions(use, config, checkpoint, tmp_path):
    with pytest.raises(UserError, match=REFUSED):
        use(config, checkpoint, tmp_path / "out")


@pytest.mark.parametrize("how", ["resume", "backbone"])
def test_runner(how, config, checkpoint):
    if how == "backbone":
        config.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=checkpoint, prefix="backbone.")
    else:
        config.load_from = checkpoint
    config.resume = how == "resume"
    runner = Runner.from_cfg(config)
    with pytest.raises(UserError, match=REFUSED):
        runner.train()


@pytest.mark.slow
def test_mim(people, checkpoint, tmp_path):
    """In a new process, in which only the config imports our loader."""
    process = mim("test", "--checkpoint", checkpoint, cwd=tmp_path, data=people, itself=True)
    assert process.returncode != 0
    assert re.search(REFUSED, process.stderr)
