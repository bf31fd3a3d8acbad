from __future__ import annotations

import logging
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from tests.helpers.models import load_tiny
from tests.helpers.trainings import EMA
from tfpose_mm.engine import read_checkpoint
from tfpose_mm.engine.checkpoint_values import to_plain
from tfpose_mm.errors import UserError


def test_plain_types(monkeypatch):
    logged = []
    monkeypatch.setattr(logging.Logger, "log", lambda self, level, message: logged.append((level, message)))
    value = OrderedDict(
        array=np.array([[1, 2]], np.uint8),
        scalar=np.float32(0.5),
        text=np.str_("left"),
        flags=(np.bool_(True), None, {"a"}),
        tensor=torch.ones(2),
        rule=lambda: 1,
    )
    plain = to_plain(value)
    assert type(plain) is dict
    assert torch.equal(plain.pop("tensor"), torch.ones(2))
    assert plain == dict(array=[[1, 2]], scalar=0.5, text="left", flags=(True, None, ["a"]), rule=None)
    assert [type(plain[name]) for name in ("scalar", "text")] == [float, str]
    assert type(plain["array"][0][0]) is int
    assert logged == [(logging.WARNING, "A function is not saved in checkpoints, which hold plain data only.")]


def test_torch_s_own_loader_takes_a_checkpoint_and_it_resumes(make_runner, tmp_path):
    first = make_runner(1, hooks=[EMA], **{"train_cfg.val_interval": 1})
    first.train()
    saved = torch.load(tmp_path / "work/epoch_1.pth", map_location="cpu", weights_only=True)
    assert saved["meta"]["epoch"] == 1
    assert saved["meta"]["dataset_meta"]["sigmas"][0] == pytest.approx(0.026)
    assert saved["ema_state_dict"]["steps"] > 0
    history = saved["message_hub"]["log_scalars"]["train/loss"]
    assert history["_count_history"] == [1.0] * len(history["_log_history"])
    loss = first.message_hub.get_scalar("train/loss")
    assert isinstance(loss, HistoryBuffer)

    best = read_checkpoint(next((tmp_path / "work").glob("best_*_epoch_1.pth")))["meta"]
    assert best["iter"] == best["validated_iter"] == 2
    assert best["versions"]["torch"].startswith("2.")

    second = make_runner(2, hooks=[EMA], resume=True)
    second.train()
    assert second.iter == 4
    meta = read_checkpoint(tmp_path / "work/epoch_2.pth")["meta"]
    assert (meta["iter"], meta["validated_iter"]) == (4, None)
    resumed = second.message_hub.get_scalar("train/loss")
    assert resumed._log_history[: len(loss._log_history)].tolist() == loss._log_history.tolist()


def test_weights_only_are_no_training_to_resume(make_runner, tmp_path):
    torch.save(dict(state_dict=load_tiny()[1].state_dict(), meta={}), tmp_path / "weights.pth")
    with pytest.raises(UserError, match="Resuming needs a training checkpoint with epoch and logged"):
        make_runner(1, resume=True, load_from=str(tmp_path / "weights.pth")).train()
