from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.errors import UserError
from tfpose_mm.inference import FromFunction, Predictor
from tfpose_mm.inference.sources import Frame, Source


@pytest.fixture
def predictor(checkpoint):
    return Predictor(TINY, checkpoint)


def two_boxes(image):
    height, width = image.shape[:2]
    return [[0, 0, width, height], [5, 9, width - 7, height]]


def test_it_predicts_what_mmpose_predicts(predictor, checkpoint, people):
    path = str(people / "val/000000000001.jpg")
    (prediction,) = predictor(path, two_boxes)
    cfg = Config.fromfile(str(TINY))
    cfg.model.test_cfg.keypoint_scores = "heatmap"
    model = init_model(cfg, str(checkpoint), device="cpu")
    samples = inference_topdown(model, path, np.array(two_boxes(cv2.imread(path)), dtype=float))
    assert len(samples) == 2
    for row, sample in enumerate(samples):
        np.testing.assert_allclose(prediction.keypoints[row], sample.pred_instances.keypoints[0], atol=1e-3)
        np.testing.assert_allclose(prediction.keypoint_scores[row], sample.pred_instances.keypoint_scores[0], atol=1e-6)
    assert prediction.size == cv2.imread(path).shape[1::-1]
    assert prediction.image is None


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_go_across_images_in_order(predictor, batch_size, monkeypatch):
    counts = [2, 0, 0, 3, 1, 0, 5, 0]
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, (90 + 7 * index, 70, 3), dtype=np.uint8) for index in range(len(counts))]
    frames = [Frame(Source(f"{index}.jpg", "image"), 0, image) for index, image in enumerate(images)]
    boxes = FromFunction(lambda image: [[1 + n, 2, 60, 80] for n in range(counts[(len(image) - 90) // 7])])
    sizes = []
    real = predictor.model.test_step
    monkeypatch.setattr(predictor.model, "test_step", lambda data: sizes.append(len(data["inputs"])) or real(data))
    predictions = list(predictor.predict_frames(iter(frames), boxes, batch_size))
    assert [prediction.name for prediction in predictions] == [f"{index}.jpg" for index in range(len(counts))]
    assert [len(prediction.keypoints) for prediction in predictions] == counts
    full, rest = divmod(sum(counts), batch_size)
    assert sizes == [batch_size] * full + [rest] * (rest > 0)
    monkeypatch.undo()
    for prediction, frame in zip(predictions, frames):
        (alone,) = predictor.predict_frames(iter([frame]), boxes, batch_size=1)
        np.testing.assert_allclose(prediction.keypoints, alone.keypoints, atol=1e-3)
        np.testing.assert_allclose(prediction.boxes, alone.boxes)
    assert predictions[1].keypoints.shape == (0, 17, 2)
    assert predictions[1].keypoint_scores.shape == (0, 17)


def test_few_frames_wait_for_a_batch(predictor):
    """Frames are read as the predictions are taken: nothing is kept of those that are done."""
    read = []

    def frames():
        for index in range(50):
            read.append(index)
            yield Frame(Source(f"{index}.jpg", "image"), 0, np.zeros((80, 60, 3), np.uint8))

    predictions = predictor.predict_frames(frames(), FromFunction(lambda image: [[0, 0, 60, 80]]), batch_size=4)
    for index, _ in zip(range(20), predictions):
        assert len(read) - index <= 5


def test_scores(predictor, checkpoint, people):
    path = str(people / "val/000000000001.jpg")
    (heatmap,) = predictor(path)
    assert predictor.keypoint_scores == "heatmap"
    assert len(set(heatmap.keypoint_scores[0])) > 1
    (one,) = Predictor(TINY, checkpoint, keypoint_scores="one")(path)
    assert set(one.keypoint_scores[0]) == {1.0}
    np.testing.assert_allclose(one.keypoints, heatmap.keypoints, atol=1e-4)
    with pytest.raises(UserError, match="are auto, heatmap, one, but got keypoint_map: use one of them"):
        Predictor(TINY, checkpoint, keypoint_scores="keypoint_map")


def test_another_head_predicts(people, tmp_path):
    config = ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py"
    cfg = Config.fromfile(str(config))
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "moved.pth")
    (prediction,) = Predictor(cfg, tmp_path / "moved.pth")(people / "val/000000000001.jpg")
    assert prediction.keypoints.shape == (1, cfg.model.head.out_channels, 2)
    with pytest.raises(UserError, match="A HeatmapHead has keypoint scores of its own, but got one"):
        Predictor(cfg, tmp_path / "moved.pth", keypoint_scores="one")


def test_what_does_not_fit(checkpoint, tmp_path):
    cfg = Config.fromfile(str(TINY))
    cfg.model.head.num_joints = 14
    with pytest.raises(UserError, match=r"does not fit the config's model.*\n.*parameter"):
        Predictor(cfg, checkpoint)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "fourteen.pth")
    with pytest.raises(UserError, match="The model predicts 14 keypoints, but the config's data have 17"):
        Predictor(cfg, tmp_path / "fourteen.pth")
    with pytest.raises(UserError, match=r"The checkpoint .*missing\.pth does not exist"):
        Predictor(TINY, tmp_path / "missing.pth")
    with pytest.raises(UserError, match="nowhere is neither a file nor a packaged config"):
        Predictor("nowhere", checkpoint)
    assert Predictor(TINY.stem, checkpoint).metainfo["num_keypoints"] == 17


def test_boxes_of_other_images_are_counted(predictor, people, tmp_path):
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    inputs = sorted((people / "val").glob("*.jpg"))[:2]
    predictions = predictor(inputs, people / "annotations/person_keypoints_val.json")
    assert predictor.unmatched == len(content["annotations"]) - 2
    assert [prediction.image_id for prediction in predictions] == [1, 2]


def test_a_batch_size_of_zero(predictor, people):
    with pytest.raises(UserError, match="The batch size must be at least 1, but got 0"):
        list(predictor(people / "val", batch_size=0))
