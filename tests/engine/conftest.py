from __future__ import annotations

import pytest
from mmengine.runner import Runner

from tests.helpers.processes import in_process_config
from tests.helpers.trainings import SHORT


@pytest.fixture
def make_runner(people, tmp_path, monkeypatch):
    """Make a runner of the demo's config with 2 iterations in an epoch; changes of the config have dotted keys."""
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))

    def make(epochs, folder="work", hooks=(), **changes):
        options = {**SHORT, "train_cfg.max_epochs": epochs, **changes}
        runner = Runner.from_cfg(in_process_config(tmp_path / folder, **options))
        for hook in hooks:
            runner.register_hook(hook)
        return runner

    return make
