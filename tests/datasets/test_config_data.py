from __future__ import annotations

import pytest

from tests.helpers.paths import TINY
from tfpose_mm.config_files import read_config
from tfpose_mm.datasets.config_data import input_size
from tfpose_mm.errors import UserError


def test_the_input_size_is_found_in_every_form_of_test_data():
    """(width, height), also if data sets are wrapped, with the steps inside or outside."""
    cfg = read_config(TINY)
    assert input_size(cfg) == (96, 128)
    data = cfg.test_dataloader.dataset.to_dict()
    outer = dict(data, pipeline=[])
    cfg.test_dataloader.dataset = dict(type="CombinedDataset", datasets=[outer, outer], pipeline=data["pipeline"])
    assert input_size(cfg) == (96, 128)
    cfg.test_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=data)
    assert input_size(cfg) == (96, 128)
    cfg.test_dataloader.dataset = outer
    with pytest.raises(UserError, match="The test pipeline must have a TopdownAffine"):
        input_size(cfg)
