"""Check that the names of parameters and the predictions of a model do not change."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from tests.helpers.models import load_tiny
from tfpose_mm.models import set_attn_implementation

# Names, shapes and predictions of three models with the weights of ``state_of``, written by the code of 2026-11-23.
# Those of the two-stage model were written on 2026-11-29, when its head had a class of its own and other names.
REFERENCE = json.loads((Path(__file__).parents[1] / "data/reference_predictions.json").read_text())
SIZE = (96, 128)  # w, h


def model_of(name):
    cfg, _ = load_tiny()
    model = cfg.model.to_dict()
    if name == "variant":
        model["backbone"].update(base_channels=24, stem_channels=24)
        model["neck"].update(in_channels=[48, 96, 192], num_layers=0)
        model["head"].update(num_joints=5, query_attention=False, aux_branch=False)
    if name == "two-stage":
        model["head"].update(start=dict(type="KeypointMapStart"), reference_position=True, token_position=True)
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


def predict(model, joints):
    width, height = SIZE
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 3, height, width)).astype(np.float32))
    samples = []
    for _ in range(3):
        sample = PoseDataSample()
        box, score = np.array([[10.0, 20.0, 70.0, 140.0]], dtype=np.float32), np.ones(1, dtype=np.float32)
        sample.gt_instances = InstanceData(bboxes=box, bbox_scores=score)
        sample.set_metainfo(
            dict(
                input_size=SIZE,
                input_center=np.array([40.0, 80.0], dtype=np.float32),
                input_scale=np.array([3.0 * width, 3.0 * height], dtype=np.float32),
                flip_indices=list(range(joints))[::-1],
            )
        )
        samples.append(sample)
    with torch.no_grad():
        return np.stack([sample.pred_instances.keypoints[0] for sample in model.predict(inputs, samples)])


@pytest.mark.parametrize("implementation", [None, "grid_sample"])
@pytest.mark.parametrize("name", ["demo", "variant", "two-stage"])
def test_an_older_checkpoint_loads_strictly_and_predicts_the_same(name, implementation):
    reference = REFERENCE[name]
    model = model_of(name)
    model.load_state_dict(state_of(reference["shapes"]), strict=True)
    set_attn_implementation(model, implementation)
    expected = np.array(reference["keypoints"])
    assert expected.std(0).max() > 1  # the images differ
    np.testing.assert_allclose(predict(model, expected.shape[1]), expected, atol=0.01)
