from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.analysis.recording import Recording, record
from tfpose_mm.datasets.config_data import build_annotated_data
from tfpose_mm.engine import load_model
from tfpose_mm.errors import UserError
from tfpose_mm.inference.predictor import Predictor
from tfpose_mm.models.layers import DeformableTransformerDecoder


@pytest.fixture
def config(people, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    return Config.fromfile(str(TINY))


def feats_of(config, model):
    """All persons in one batch, and their feature maps."""
    data = build_annotated_data(config)
    batch = pseudo_collate([data[number] for number in range(len(data))])
    with torch.no_grad():
        return batch, model.extract_feat(model.data_preprocessor(batch)["inputs"])


def with_heatmaps(config, model):
    """The recording of all persons in one batch."""
    recording = Recording(model, build_annotated_data(config).metainfo, heatmaps=True)
    recording.add(range(5), *feats_of(config, model))
    return recording


def test_records_are_in_pixels_of_the_input(config, checkpoint, people):
    """The last coordinates and the annotations, put back into the image, are the predictions and the annotations."""
    recording = record(config, checkpoint, batch_size=2)
    config.model.test_cfg.flip_test = False
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    predictions = list(Predictor(config, checkpoint)(people / "val", people / "annotations/person_keypoints_val.json"))
    assert recording.persons == len(content["annotations"])
    for number in (1, 0):
        one = recording.instances[number]
        points = np.reshape(content["annotations"][number]["keypoints"], (17, 3))
        # the same affine transform from the input to the image
        a, b = one.target[:, None], points[:, None, :2].astype(float)
        matrix, _ = cv2.estimateAffine2D(a, b)
        np.testing.assert_allclose(cv2.transform(a, matrix), b, atol=0.01)
        mapped = cv2.transform(one.coordinates[-1][:, None], matrix)[:, 0]
        np.testing.assert_allclose(mapped, predictions[number].keypoints[0], atol=0.05)
        assert one.image.shape == (128, 96, 3)
        assert one.labelled.tolist() == (points[:, 2] > 0).tolist()


def test_means_are_those_of_the_persons(config, checkpoint):
    recording = record(config, checkpoint, batch_size=3)
    assert recording.persons == 5
    model = load_model(config.model, checkpoint)
    with torch.no_grad():
        layers = model.head.forward_with_records(feats_of(config, model)[1])[1].layers
    expected = np.stack([layer.query_attention.mean((0, 1)).numpy() for layer in layers])
    np.testing.assert_allclose(recording.query_attention, expected, rtol=1e-5)
    np.testing.assert_allclose(recording.query_attention.sum(-1), 1, rtol=1e-5)
    assert recording.pck().shape == (3, 3)
    np.testing.assert_allclose(recording.mean_distance()[-1], np.nanmean(recording.distance()[-1], axis=0))


def test_recorded_attention_gives_the_layer_s_output(config, checkpoint):
    """Locations and weights through mmcv's reference function, and the module's projections, with random weights."""
    one = record(config, checkpoint, limit=1).instances[0]
    model = load_model(config.model, checkpoint)
    outputs, values = [], []
    attention = model.head.transformer_decoder.layers[-1].cross_attn
    attention.value_proj.register_forward_hook(lambda module, inputs, output: values.append(output[:1]))
    attention.output_proj.register_forward_hook(lambda module, inputs, output: outputs.append(output[:1]))
    with torch.no_grad():
        _, records = model.head.forward_with_records(feats_of(config, model)[1])
        value = values[0].view(1, values[0].shape[1], one.weights.shape[2], -1)
        locations = (torch.from_numpy(one.locations[-1]).float() + 0.5) / torch.tensor([96.0, 128.0])
        shapes = torch.tensor(records.spatial_shapes)
        weights = torch.from_numpy(one.weights[-1]).float()
        sampled = multi_scale_deformable_attn_pytorch(value, shapes, locations[None], weights[None])
        expected = attention.output_proj(sampled)
    torch.testing.assert_close(outputs[0], expected, atol=1e-4, rtol=1e-4)
    assert one.locations[-1].std() > 1


def test_wrong_arguments(config, checkpoint):
    with pytest.raises(UserError, match="The person number must be between 0 and 4, but is 5"):
        record(config, checkpoint, chosen=(5,))
    peer = Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py"))
    with pytest.raises(UserError, match="needs a TFPoseHead, but the config has a HeatmapHead"):
        record(peer, checkpoint)


def test_limit_and_chosen_persons(config, checkpoint, monkeypatch):
    monkeypatch.setattr("tfpose_mm.analysis.recording.EXAMPLES", 1)
    recording = record(config, checkpoint, chosen=(3,), limit=2, batch_size=2)
    assert recording.persons == 3
    assert sorted(recording.instances) == [0, 3]
    everything = record(config, checkpoint, chosen=(3,))
    np.testing.assert_allclose(recording.distance(), everything.distance()[:, [0, 1, 3]], atol=1e-6)


def test_the_diagnosis_with_a_decoder_on_the_counterparts(config, checkpoint, monkeypatch):
    """The decoder predicts each keypoint's counterpart, the heat maps its annotation."""
    model = load_model(config.model, checkpoint)
    batch, _ = feats_of(config, model)
    before = with_heatmaps(config, model)
    flip = list(before.metainfo["flip_indices"])
    targets, labelled = (np.array([getattr(one, name) for one in before.examples]) for name in ("target", "labelled"))
    labels = torch.from_numpy(targets / (95, 127)).float()
    codec = model.head.decoder.heatmap_codec
    maps = [codec.encode(target[None].astype(np.float32), np.ones((1, 17)))["heatmaps"] for target in targets]

    class HeatMaps(torch.nn.Module):
        def forward(self, feats):
            return torch.from_numpy(np.stack(maps))

    def decode(self, memory, shapes, branches, coordinates=None, records=None):
        if records is not None:
            original(self, memory, shapes, branches, coordinates, records)
        return labels[:, flip].expand(2, -1, -1, -1)

    original = DeformableTransformerDecoder.forward
    monkeypatch.setattr(DeformableTransformerDecoder, "forward", decode)
    model.head.aux_branch = HeatMaps()
    recording = with_heatmaps(config, model)
    result = recording.diagnose()
    assert result["keypoints"] == labelled.sum()
    assert result["heatmaps"][0] > 0.97  # but for keypoints outside the input
    assert result["from_heatmaps"][0] == result["heatmaps"]
    own = recording.distance()[-1]
    sizes = [(one.gt_instances.bboxes[0, 2:] - one.gt_instances.bboxes[0, :2]) for one in batch["data_samples"]]
    scales = [np.array([96, 128]) / one.input_scale for one in batch["data_samples"]]
    sides = np.max(np.multiply(sizes, scales), axis=1)
    by_hand = np.linalg.norm(targets[:, flip] - targets, axis=-1) / sides[:, None]
    np.testing.assert_allclose(own[labelled], by_hand[labelled], atol=1e-6)
    assert np.isnan(own[~labelled]).all()
    assert result["layers"][-1][0] == pytest.approx((own[labelled] < 0.2).mean())
    assert result["only_heatmap"] == pytest.approx(1 - result["layers"][-1][0], abs=0.03)
    seen = labelled[:, flip][labelled][own[labelled] >= 0.2]  # a counterpart without annotation does not count
    assert result["mirrored"] == pytest.approx(seen.mean(), abs=0.03)
    assert result["only_decoder"] < 0.03


@pytest.mark.parametrize("start", [None, dict(type="KeypointMapStart")])
def test_the_decoder_starts_at_the_heat_maps(config, start):
    """Also that of a two-stage head."""
    config.model.head.start = start
    recording = with_heatmaps(config, randomise(MODELS.build(config.model)).eval())
    np.testing.assert_allclose(recording.distance("from_heatmaps")[0], recording.distance("heatmaps")[0], atol=1e-6)
    assert not np.allclose(recording.distance("from_heatmaps")[1], recording.distance()[1], atol=1e-3, equal_nan=True)


def test_without_the_auxiliary_branch(config):
    config.model.head.aux_branch = False
    result = with_heatmaps(config, MODELS.build(config.model).eval()).diagnose()
    assert result["heatmaps"] is result["mirrored"] is None
    assert np.shape(result["layers"]) == (3, 3)
