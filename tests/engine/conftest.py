from __future__ import annotations

import itertools
import signal

import pytest
from mmengine.runner import Runner

from tests.helpers.processes import in_process_config
from tests.helpers.trainings import SHORT

NUMBERS = itertools.count()


@pytest.fixture
def make_runner(people, tmp_path, monkeypatch):
    """Make a runner of the demo's config with 2 iterations in an epoch; changes of the config have dotted keys."""
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    handler = signal.getsignal(signal.SIGTERM)

    def make(epochs, folder="work", hooks=(), by_epoch=True, **changes):
        options = {**SHORT, "train_cfg.max_epochs": epochs, **changes}
        cfg = in_process_config(tmp_path / folder, **options)
        if not by_epoch:
            cfg.train_cfg = dict(by_epoch=False, max_iters=2 * epochs, val_interval=1000)
            cfg.param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5)]
            cfg.log_processor.by_epoch = cfg.default_hooks.checkpoint.by_epoch = False
        # MMEngine's name has seconds: two runners in one second would share the list of kept checkpoints
        cfg.experiment_name = f"{folder}_{next(NUMBERS)}"
        runner = Runner.from_cfg(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        return runner

    yield make
    signal.signal(signal.SIGTERM, handler)  # a training that fails does not restore it
