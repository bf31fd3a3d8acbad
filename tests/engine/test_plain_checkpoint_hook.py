from __future__ import annotations

import logging
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmpose.registry import MODELS

from tests.helpers.paths import TINY
from tests.helpers.processes import in_process_config
from tfpose_mm.engine import read_checkpoint
from tfpose_mm.engine.plain_values import to_plain
from tfpose_mm.errors import UserError


def test_plain_types():
    value = OrderedDict(
        array=np.array([[1, 2]], np.uint8),
        scalar=np.float32(0.5),
        text=np.str_("left"),
        flags=(np.bool_(True), None, {"a"}),
        tensor=torch.ones(2),
    )
    plain = to_plain(value)
    assert type(plain) is dict
    assert torch.equal(plain.pop("tensor"), torch.ones(2))
    assert plain == dict(array=[[1, 2]], scalar=0.5, text="left", flags=(True, None, ["a"]))
    assert [type(plain[name]) for name in ("scalar", "text")] == [float, str]
    assert type(plain["array"][0][0]) is int


def test_other_types_are_left_out_with_a_warning(monkeypatch):
    logged = []
    monkeypatch.setattr(logging.Logger, "log", lambda self, level, message: logged.append((level, message)))
    assert to_plain(dict(rule=lambda: 1, kept=2)) == dict(rule=None, kept=2)
    assert logged == [(logging.WARNING, "A function is not saved in checkpoints, which hold plain data only.")]


def train(tmp_path, **changes):
    cfg = in_process_config(tmp_path / "work", **changes)
    cfg.train_cfg.update(max_epochs=changes.get("train_cfg.max_epochs", 1), val_interval=1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_torch_s_own_loader_takes_a_checkpoint_and_it_resumes_without_a_warning(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    first = train(tmp_path)
    saved = torch.load(tmp_path / "work/epoch_1.pth", map_location="cpu", weights_only=True)
    assert saved["meta"]["epoch"] == 1
    assert saved["meta"]["dataset_meta"]["sigmas"][0] == pytest.approx(0.026)
    history = saved["message_hub"]["log_scalars"]["train/loss"]
    assert history["_count_history"] == [1.0] * len(history["_log_history"])
    loss = first.message_hub.get_scalar("train/loss")
    assert isinstance(loss, HistoryBuffer)

    messages = []
    monkeypatch.setattr(logging.Logger, "warning", lambda self, message, *args, **kwargs: messages.append(str(message)))
    second = train(tmp_path, resume=True, **{"train_cfg.max_epochs": 2})
    assert second.iter == 2 * len(second.train_dataloader)
    resumed = second.message_hub.get_scalar("train/loss")
    assert resumed._log_history[: len(loss._log_history)].tolist() == loss._log_history.tolist()
    assert not [message for message in messages if "metainfo" in message or "does not fit" in message]


def test_differences_are_logged_as_a_table(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = in_process_config(tmp_path / "work", load_from=str(tmp_path / "other.pth"))
    state = MODELS.build(cfg.model).state_dict()
    removed = state.pop("head.transformer_decoder.reference_points")
    torch.save(dict(state_dict={**state, "head.old": torch.ones(3)}), tmp_path / "other.pth")
    runner = Runner.from_cfg(cfg)
    messages = []
    monkeypatch.setattr(runner.logger, "warning", lambda message, *args, **kwargs: messages.append(str(message)))
    runner.load_or_resume()
    (table,) = [message for message in messages if message.startswith("The checkpoint does not fit the model")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[3:]]
    assert rows == [
        ["head.transformer_decoder.reference_points", "missing", " x ".join(map(str, removed.shape)), "-"],
        ["head.old", "unexpected", "-", "3"],
    ]


@pytest.mark.slow
def test_averaged_weights_are_saved(people, tmp_path, monkeypatch):
    """EMAHook adds its weights to the checkpoint."""
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    hooks = [*Config.fromfile(str(TINY)).custom_hooks, dict(type="EMAHook", momentum=0.1)]
    train(tmp_path, custom_hooks=hooks)
    saved = torch.load(tmp_path / "work/epoch_1.pth", map_location="cpu", weights_only=True)
    assert saved["ema_state_dict"]
    assert read_checkpoint(tmp_path / "work/epoch_1.pth")["ema_state_dict"]["steps"] > 0


def test_weights_only_are_no_training_to_resume(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    state = MODELS.build(Config.fromfile(str(TINY)).model).state_dict()
    torch.save(dict(state_dict=state, meta={}), tmp_path / "weights.pth")
    with pytest.raises(
        UserError,
        match="Resuming needs a training checkpoint with epoch and logged",
    ):
        train(tmp_path, resume=True, load_from=str(tmp_path / "weights.pth"))


def test_the_checkpoint_tells_whether_it_was_validated(people, tmp_path, monkeypatch):
    """MMEngine saves epoch_1.pth before its validation, and best_*.pth after it."""
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    train(tmp_path)
    metas = [
        read_checkpoint(next((tmp_path / "work").glob(name)))["meta"] for name in ("epoch_1.pth", "best_*_epoch_1.pth")
    ]
    assert metas[0]["iter"] == metas[1]["iter"] == metas[1]["validated_iter"]
    assert metas[1]["versions"]["torch"].startswith("2.")
