from __future__ import annotations

import gc

import mmengine.config.config as config_module
import numpy as np
import pytest
import torch
from mmpose.utils import register_all_modules
from yapf.yapflib import yapf_api

import tfpose_mm.safe_loading  # noqa: F401 - registers the modules and loads as the configs and tools do
from tests.helpers.models import load_tiny, randomise
from tests.helpers.reliability import Reliability
from tfpose_mm.datasets.synthetic import write_dataset

register_all_modules()
gc.freeze()  # MMEngine collects garbage for each data set: without the modules this takes no time


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
    np.random.seed(0)


def pytest_collection_modifyitems(items):
    """``make test-faults`` selects the tests that write rows of docs/reliability.md."""
    for item in items:
        if "reliability" in getattr(item, "fixturenames", ()):
            item.add_marker("reliability")


@pytest.fixture(scope="session", autouse=True)
def _format_a_config_once():
    """MMEngine formats the whole config again for each checkpoint: half of the time of a test's training."""
    formatted = {}
    original = yapf_api.FormatCode

    def format_once(text, **options):
        if text not in formatted:
            formatted[text] = original(text, **options)
        return formatted[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, "FormatCode", format_once)
        patch.setattr(config_module, "FormatCode", format_once, raising=False)  # where MMEngine 0.10.7 imports it
        yield


@pytest.fixture
def reliability():
    """Rows of docs/reliability.md."""
    return Reliability()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A checkpoint of the demo's model with every parameter changed; tests must not change it."""
    path = tmp_path_factory.mktemp("checkpoint") / "moved.pth"
    torch.manual_seed(0)
    torch.save(dict(state_dict=randomise(load_tiny()[1]).state_dict()), path)
    return path


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """A small synthetic data set that tests must not change."""
    out = tmp_path_factory.mktemp("people") / "easy"
    write_dataset(out, train=9, val=5, seed=3, workers=2)
    return out
