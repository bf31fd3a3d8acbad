from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import NO_WORKERS, start
from tfpose_mm.analysis.attention_patterns import body_keypoints, example_skeleton, pattern_ratio, symmetric_pairs
from tfpose_mm.analysis.attention_study import InstanceRecord, study_attention
from tfpose_mm.analysis.figures import draw_figures
from tfpose_mm.datasets.config_data import keypoint_names
from tfpose_mm.errors import UserError
from tfpose_mm.inference.predictor import Predictor


@pytest.fixture
def config(people, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    return Config.fromfile(str(TINY))


def test_records_are_in_pixels_of_the_input(config, checkpoint, people):
    """The last coordinates and the annotations, put back into the image, are the predictions and the annotations."""
    study = study_attention(config, checkpoint, chosen=(1, 0), batch_size=2)
    config.model.test_cfg.flip_test = False
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    predictions = list(Predictor(config, checkpoint)(people / "val", people / "annotations/person_keypoints_val.json"))
    assert study.persons == len(content["annotations"])
    for record, number in zip(study.instances, (1, 0)):
        points = np.reshape(content["annotations"][number]["keypoints"], (17, 3))
        # the same affine transform from the input to the image
        a, b = record.target[:, None], points[:, None, :2].astype(float)
        matrix, _ = cv2.estimateAffine2D(a, b)
        np.testing.assert_allclose(cv2.transform(a, matrix), b, atol=0.01)
        mapped = cv2.transform(record.coordinates[-1][:, None], matrix)[:, 0]
        np.testing.assert_allclose(mapped, predictions[number].keypoints[0], atol=0.05)
        assert record.image.shape == (128, 96, 3)
        assert record.labelled.tolist() == (points[:, 2] > 0).tolist()


def test_means_are_those_of_the_records(config, checkpoint):
    study = study_attention(config, checkpoint, chosen=range(5), limit=5, batch_size=3)
    assert study.persons == 5
    attention = np.mean([record.query_attention for record in study.instances], 0)
    np.testing.assert_allclose(study.query_attention, attention, rtol=1e-6)
    np.testing.assert_allclose(study.query_attention.sum(-1), 1, rtol=1e-5)
    assert study.errors.shape == (3, 17)
    assert ((study.correct >= 0) & (study.correct <= 1)).all()
    distances = np.array([np.linalg.norm(r.coordinates[-1] - r.target, axis=-1) for r in study.instances])
    labelled = np.array([record.labelled for record in study.instances])
    mean = np.array([row[used].mean() for row, used in zip(distances.T, labelled.T)])
    ratio = study.errors[-1] / mean  # one over the size of the box, about 128 / 1.25 pixels of the input
    assert ((ratio > 0.8 / 102) & (ratio < 1.6 / 102)).all()


def test_recorded_attention_gives_the_layer_s_output(config, checkpoint):
    """Locations and weights through mmcv's reference function, and the module's projections, with random weights."""
    study = study_attention(config, checkpoint, chosen=(0,), limit=1)
    (record,) = study.instances
    model = randomise(MODELS.build(config.model)).eval()
    model.load_state_dict(torch.load(checkpoint)["state_dict"])
    outputs, values = [], []
    layer = model.head.transformer_decoder.layers[-1]
    layer.cross_attn.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    layer.cross_attn.value_proj.register_forward_hook(lambda module, inputs, output: values.append(output))
    layer.cross_attn.output_proj.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    image = torch.from_numpy(record.image[..., ::-1].transpose(2, 0, 1).copy())
    with torch.no_grad():
        feats = model.extract_feat(model.data_preprocessor(dict(inputs=[image], data_samples=[]))["inputs"])
        _, records = model.head.forward_with_records(feats)
        heads = record.weights.shape[2]
        value = values[0].view(1, values[0].shape[1], heads, -1)
        size = torch.tensor([96.0, 128.0])
        locations = (torch.from_numpy(record.locations[-1]).float() + 0.5) / size
        shapes = torch.tensor(records.spatial_shapes)
        weights = torch.from_numpy(record.weights[-1]).float()
        sampled = multi_scale_deformable_attn_pytorch(value, shapes, locations[None], weights[None])
        expected = layer.cross_attn.output_proj(sampled)
    torch.testing.assert_close(outputs[0], expected, atol=1e-4, rtol=1e-4)
    assert record.locations[-1].std() > 1


def test_wrong_arguments(config, checkpoint, people):
    with pytest.raises(UserError, match="The person number must be between 0 and 4, but is 5"):
        study_attention(config, checkpoint, chosen=(5,))
    with pytest.raises(UserError, match="The pixel must be inside the input of 96 x 128"):
        study_attention(config, checkpoint, pixel=(96, 5), limit=1)
    peer = Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py"))
    with pytest.raises(UserError, match="needs a TFPoseHead, but the config has a HeatmapHead"):
        study_attention(peer, checkpoint)


def test_encoder_attention_of_a_pixel(config, tmp_path):
    config.model.neck.num_layers = 1
    torch.manual_seed(0)
    study = study_attention(config, save(config, tmp_path / "encoder.pth"), limit=1, pixel=(40.0, 70.0))
    (record,) = study.instances
    assert record.encoder_weights.shape[0] == 1
    np.testing.assert_allclose(record.encoder_weights.sum((2, 3)), 1, rtol=1e-5)
    assert record.encoder_locations.shape == (*record.encoder_weights.shape, 2)


def save(config, path):
    torch.save(dict(state_dict=randomise(MODELS.build(config.model)).state_dict()), path)
    return path


def test_pictures_and_arrays(config, checkpoint, tmp_path):
    folder = tmp_path / "run/vis_data"
    folder.mkdir(parents=True)
    lines = [{"coco/AP": 0.1, "step": 4}, {"loss": 1.0, "step": 5}, {"coco/AP": 0.3, "step": 8}]
    (folder / "scalars.json").write_text("\n".join(json.dumps(line) for line in lines))
    logs = [f"with heat maps={tmp_path}/run"]
    pictures = draw_figures(config, checkpoint, out=tmp_path / "out", persons=(0, 3), keypoints=["nose"], logs=logs)
    names = [path.stem for path in pictures]
    assert [name for name in names if not name.startswith("fig8") and not name.startswith("fig9")] == [
        "fig5_curves",
        "layer_errors",
        "fig6_query_attention",
        "person0_fig7_sampling_points",
        "person0_fig11_nose",
        "person0_refinement",
        "person3_fig7_sampling_points",
        "person3_fig11_nose",
        "person3_refinement",
        "fig10_qualitative",
    ]
    assert len(names) == 12
    for path in pictures:
        assert cv2.imread(str(path)).std() > 5, path
        assert path.with_suffix(".npz").is_file()
    points = np.load(tmp_path / "out/person3_fig7_sampling_points.npz")
    assert points["locations"].shape[::2] == (12, 2)
    assert points["names"][0] == "left_shoulder"
    curve = np.load(tmp_path / "out/fig5_curves.npz")["0 with heat maps"]
    assert curve.tolist() == [[4, 0.1], [8, 0.3]]


def test_patterns():
    attention = np.full((4, 4), 0.1)
    attention[0, 1] = attention[1, 0] = 0.5
    assert pattern_ratio(attention, [(0, 1)]) == pytest.approx(0.5 / ((0.1 * 10 + 1.0) / 12))
    assert pattern_ratio(np.full((4, 4), 0.25), [(0, 1), (2, 3)]) == pytest.approx(1)
    metainfo = dict(
        flip_indices=[0, 2, 1], num_keypoints=3, keypoint_id2name={0: "nose", 1: "left_eye", 2: "right_eye"}
    )
    assert symmetric_pairs(metainfo) == [(1, 2)]
    assert keypoint_names(metainfo) == ["nose", "left_eye", "right_eye"]
    assert body_keypoints(["nose", "left_hip"]) == [1]
    assert body_keypoints(["nose", "left_eye"]) == [0, 1]
    assert body_keypoints(["Nearknee", "forearm", "right-ear", "eyes"]) == [0, 1]


def test_the_skeleton_is_of_a_person_who_faces_the_camera():
    def record(points, labelled=(True, True, True)):
        points = np.array(points, dtype=float)
        return InstanceRecord(None, points, np.array(labelled), points[None], None, None, None)

    side, front = record([[5, 0], [5, 9], [6, 9]]), record([[5, 0], [1, 9], [9, 9]])
    hidden = record([[5, 0], [0, 9], [30, 9]], labelled=(True, False, False))
    assert np.array_equal(example_skeleton([side, front, hidden], [(1, 2)]), front.target)
    assert example_skeleton([side], []).shape == (3, 2)


@pytest.mark.slow
def test_the_tool(checkpoint, people, tmp_path):
    tool = [sys.executable, "-m", "tfpose_mm", "figures", "tfpose_tiny_synthetic_128x96", checkpoint, "--out", "out"]
    process = start(*tool, "--limit", 2, "--cfg-options", *NO_WORKERS[:1], cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "out/fig6_query_attention.png" in process.stdout.splitlines()
    wrong = start(*tool, "--keypoints", "left_wing", cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert wrong.returncode == 2
    assert "ankle, but got left_wing: correct the name" in wrong.stderr.splitlines()[-1]
