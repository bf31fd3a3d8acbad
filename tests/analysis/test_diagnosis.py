from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.analysis.annotated_batches import annotated_batches
from tfpose_mm.analysis.attention_study import study_attention
from tfpose_mm.analysis.diagnosis import diagnose, diagnosis_table
from tfpose_mm.datasets.config_data import build_annotated_data
from tfpose_mm.engine import load_model
from tfpose_mm.errors import UserError
from tfpose_mm.models.layers import DeformableTransformerDecoder


@pytest.fixture
def config(people, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    return Config.fromfile(str(TINY))


def test_layers_are_those_of_the_study(config, checkpoint):
    result = diagnose(config, checkpoint, batch_size=2)
    study = study_attention(config, checkpoint)
    np.testing.assert_allclose(result.layers[:, 0], study.correct)
    assert result.layers.shape == (3, 3)
    assert result.from_heatmaps.shape == (3, 3)
    np.testing.assert_allclose(result.from_heatmaps[0], result.heatmaps)
    assert diagnosis_table(result)[-1][0] == "y_2 of the decoder that starts there"


def test_counts_with_a_decoder_on_the_counterparts(config, checkpoint, monkeypatch):
    """The decoder predicts each keypoint's counterpart, the heat maps its annotation."""
    model = load_model(config.model, checkpoint)
    data = build_annotated_data(config)
    flip = list(data.metainfo["flip_indices"])
    (batch,) = annotated_batches(model, data, range(5), 8)
    labels = torch.from_numpy(batch.targets / (batch.input_size - 1)).float()
    codec = model.head.decoder.heatmap_codec
    maps = [codec.encode(t[None].astype(np.float32), np.ones((1, 17)))["heatmaps"] for t in batch.targets]

    class HeatMaps(torch.nn.Module):
        def forward(self, feats):
            return torch.from_numpy(np.stack(maps))

    def decode(self, memory, shapes, branches, records=None, coordinates=None):
        return labels[:, flip].expand(2, -1, -1, -1)

    monkeypatch.setattr(DeformableTransformerDecoder, "forward", decode)
    monkeypatch.setattr("tfpose_mm.analysis.diagnosis.load_model", lambda *_: model)
    model.head.aux_branch = HeatMaps()
    result = diagnose(config, checkpoint)
    assert result.heatmaps[0] > 0.97  # but for keypoints outside the input
    own = batch.relative_distance(labels[:, flip].numpy())[batch.labelled]
    assert result.layers[-1, 0] == pytest.approx((own < 0.2).mean())
    assert result.only_heatmap == pytest.approx(1 - result.layers[-1, 0], abs=0.03)
    seen = batch.labelled[:, flip][batch.labelled][own >= 0.2]  # a counterpart that is not annotated does not count
    assert result.mirrored == pytest.approx(seen.mean(), abs=0.03)
    assert result.only_decoder < 0.03


def test_without_the_auxiliary_branch(config, tmp_path):
    config.model.head.aux_branch = False
    torch.save(dict(state_dict=randomise(MODELS.build(config.model)).state_dict()), tmp_path / "plain.pth")
    result = diagnose(config, tmp_path / "plain.pth", limit=2)
    assert result.heatmaps is None
    assert diagnosis_table(result)[-1][0] == "y_2"


def test_another_head(config, checkpoint):
    peer = copy.deepcopy(Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py")))
    with pytest.raises(UserError, match="The diagnosis needs a TFPoseHead, but the config has a HeatmapHead"):
        diagnose(peer, checkpoint)


def test_a_two_stage_head(config, tmp_path):
    config.model.head.start = dict(type="KeypointMapStart")
    torch.save(dict(state_dict=randomise(MODELS.build(config.model)).state_dict()), tmp_path / "two_stage.pth")
    result = diagnose(config, tmp_path / "two_stage.pth", limit=3)
    assert result.layers.shape == (3, 3)
