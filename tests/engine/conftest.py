from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from mmengine.runner import Runner, loops

from tests.helpers.processes import in_process_config
from tests.helpers.trainings import SHORT

NUMBERS = itertools.count()


@pytest.fixture
def make_runner(people, tmp_path, monkeypatch):
    """Make a runner of the demo's config with 2 iterations in an epoch; changes of the config have dotted keys.

    With ``val_every`` it has a loop of iterations, which validates so often.
    """
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    # MMEngine waits 2 seconds before each further pass over the data in a loop of iterations
    monkeypatch.setattr(loops, "time", SimpleNamespace(sleep=lambda seconds: None))

    def make(epochs, folder="work", hooks=(), val_every=None, **changes):
        options = {**SHORT, "train_cfg.max_epochs": epochs, **changes}
        cfg = in_process_config(tmp_path / folder, **options)
        if val_every is not None:
            cfg.train_cfg = dict(by_epoch=False, max_iters=2 * epochs, val_interval=val_every)
            cfg.param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5)]
            cfg.log_processor.by_epoch = cfg.default_hooks.checkpoint.by_epoch = False
        # MMEngine's name has seconds: two runners in one second would share the list of kept checkpoints
        cfg.experiment_name = f"{folder}_{next(NUMBERS)}"
        runner = Runner.from_cfg(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        return runner

    return make
