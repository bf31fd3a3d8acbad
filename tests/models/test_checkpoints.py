"""Check that the names of parameters and the predictions of a model do not change."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

from tests.helpers.models import INPUT_SIZE, TWO_STAGE, load_tiny, samples

# Names, shapes and predictions of three models with the weights of ``state_of``, written by the code of 2026-11-23.
# Those of the two-stage model were written on 2026-11-29, when its head had a class of its own and other names.
REFERENCE = json.loads((Path(__file__).parents[1] / "data/reference_predictions.json").read_text())


def model_of(name):
    model = load_tiny()[0].model.to_dict()
    if name == "variant":
        model["backbone"].update(base_channels=24, stem_channels=24)
        model["neck"].update(in_channels=[48, 96, 192], num_layers=0)
        model["head"].update(num_joints=5, query_attention=False, aux_branch=False)
    if name == "two-stage":
        model["head"].update(TWO_STAGE)
    return MODELS.build(model).eval()


def state_of(shapes):
    """Compute weights from their names, so that no checkpoint has to be stored."""
    state = {}
    for name, shape in shapes.items():
        noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
        if name.endswith("num_batches_tracked"):
            value = np.zeros(tuple(shape), dtype=np.int64)
        elif name.endswith("running_var"):
            value = 1 + 0.2 * np.abs(noise)
        elif len(shape) > 1:
            value = noise / np.sqrt(np.prod(shape[1:]))
        else:
            value = 1 + 0.1 * noise if name.endswith("weight") else 0.2 * noise
        state[name] = torch.from_numpy(np.asarray(value))
    return state


@pytest.mark.parametrize("name", ["demo", "variant", "two-stage"])
def test_an_older_checkpoint_loads_strictly_and_predicts_the_same(name):
    reference = REFERENCE[name]
    model = model_of(name)
    model.load_state_dict(state_of(reference["shapes"]), strict=True)
    expected = np.array(reference["keypoints"])  # (3, K, 2)
    assert expected.std(0).max() > 1  # the images differ
    width, height = INPUT_SIZE
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, height, width)).astype(np.float32))
    packed = samples(3, expected.shape[1])
    for sample in packed:
        scale = np.array([3.0 * width, 3.0 * height], dtype=np.float32)
        sample.set_metainfo(dict(input_scale=scale, flip_indices=list(range(expected.shape[1]))[::-1]))
    with torch.no_grad():
        predicted = [sample.pred_instances.keypoints[0] for sample in model.predict(inputs, packed)]
    np.testing.assert_allclose(predicted, expected, atol=0.01)
