from __future__ import annotations

from types import SimpleNamespace

import pytest
from mmengine.hooks import IterTimerHook, LoggerHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from tests.helpers.processes import in_process_config
from tfpose_mm.engine.hooks import ValidationEtaHook, validation_eta_hook


def runner(epoch, max_epochs, interval, val_begin=1, batches=7):
    hub = dict(eta=100.0)
    return SimpleNamespace(
        epoch=epoch,
        train_loop=SimpleNamespace(max_epochs=max_epochs, val_interval=interval, val_begin=val_begin),
        val_loop=SimpleNamespace(dataloader=range(batches)),
        message_hub=SimpleNamespace(
            hub=hub,
            get_info=hub.get,
            update_info=hub.__setitem__,
            get_scalar=lambda name: HistoryBuffer([2.0, 4.0], [1, 1]),
        ),
    )


@pytest.mark.parametrize(
    ("epoch", "max_epochs", "interval", "val_begin", "left"),
    [(0, 16, 4, 1, 4), (3, 16, 4, 1, 4), (4, 16, 4, 1, 3), (15, 16, 4, 1, 1), (0, 10, 4, 1, 3), (0, 10, 2, 5, 3)],
)
def test_the_remaining_validations_are_added(epoch, max_epochs, interval, val_begin, left, monkeypatch):
    """The validations of MMEngine's EpochBasedTrainLoop: every val_interval epochs from val_begin, and at the end."""
    hook, run = ValidationEtaHook(), runner(epoch, max_epochs, interval, val_begin)
    hook.after_train_iter(run, 0)
    assert run.message_hub.hub["eta"] == 100 + left * 7 * 3  # estimated: 7 batches of 3 s
    clock = iter([10.0, 35.0])
    monkeypatch.setattr(validation_eta_hook.time, "monotonic", lambda: next(clock))
    hook.before_val_epoch(run)
    hook.after_val_epoch(run)
    run.message_hub.hub["eta"] = 100.0
    hook.after_train_iter(run, 0)
    assert run.message_hub.hub["eta"] == 100 + left * 25


def test_trainings_without_validation_are_unchanged():
    hook, run = ValidationEtaHook(), runner(0, 10, 2)
    run.val_loop = None
    hook.after_train_iter(run, 0)
    assert run.message_hub.hub["eta"] == 100
    by_iteration = runner(0, 10, 2)
    del by_iteration.train_loop.max_epochs
    hook.after_train_iter(by_iteration, 0)
    assert by_iteration.message_hub.hub["eta"] == 100


def test_it_runs_between_the_timer_and_the_logger(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    kinds = [type(hook) for hook in Runner.from_cfg(in_process_config(tmp_path)).hooks]
    assert kinds.index(IterTimerHook) < kinds.index(ValidationEtaHook) < kinds.index(LoggerHook)
