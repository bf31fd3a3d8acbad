"""`import tfpose_mm` replaces nothing of MMEngine and torch; `import tfpose_mm.safe_loading` replaces two loaders."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from tfpose_mm.host.xtcocotools import stand_in
stand_in()
import mmengine.runner.checkpoint, mmpose.apis, torch
from mmengine.runner import CheckpointLoader

MODULES = (mmengine.runner.checkpoint, mmengine.fileio, mmengine.config.config, mmpose.apis, torch, torch.serialization)

def functions():
    return {(module.__name__, name): id(value) for module in MODULES for name, value in vars(module).items()
            if callable(value)}

loaders, before = dict(CheckpointLoader._schemes), functions()
import tfpose_mm
assert CheckpointLoader._schemes == loaders
import tfpose_mm.safe_loading
assert functions() == before
print(sorted(scheme for scheme, loader in CheckpointLoader._schemes.items() if loader != loaders[scheme]))
"""


@pytest.mark.slow
def test_what_an_import_replaces():
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "['', 'http://', 'https://']"
