from __future__ import annotations

import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import inference_topdown, init_model
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tests.inference.test_sources import write_video
from tfpose_mm.errors import UserError
from tfpose_mm.inference import Predictor


@pytest.fixture
def predictor(checkpoint):
    return Predictor(TINY, checkpoint)


@pytest.fixture
def path(people):
    return str(people / "val/000000000001.jpg")


def two_boxes(image):
    height, width = image.shape[:2]
    return [[0, 0, width, height], [5, 9, width - 7, height]]


def test_it_predicts_what_mmpose_predicts(predictor, checkpoint, path, reliability):
    image = cv2.imread(path)
    boxes = np.array(two_boxes(image), dtype=float)
    (prediction,) = predictor(path, two_boxes)
    cfg = Config.fromfile(str(TINY))
    cfg.model.test_cfg.keypoint_scores = "heatmap"
    model = init_model(cfg, str(checkpoint), device="cpu")
    for row, sample in enumerate(inference_topdown(model, path, boxes)):
        np.testing.assert_allclose(prediction.keypoints[row], sample.pred_instances.keypoints[0], atol=1e-3)
        np.testing.assert_allclose(prediction.keypoint_scores[row], sample.pred_instances.keypoint_scores[0], atol=1e-6)
    assert (len(prediction.keypoints), prediction.size, prediction.image) == (2, image.shape[1::-1], None)
    for inputs in (image, [image]):
        (found,) = predictor(inputs, boxes)
        np.testing.assert_array_equal(found.keypoints, prediction.keypoints)
    reliability.row("inputs", "arrays (H, W, 3), lists of them; boxes as arrays", 1, "as the same image in a file")


def test_the_documented_expression_converts_to_supervision(predictor, path):
    sv = pytest.importorskip("supervision", minversion="0.29")
    (expression,) = re.findall(r"`(sv\.KeyPoints\(.*\))`", (ROOT / "docs/prediction.md").read_text())
    (prediction,) = predictor(path, two_boxes)
    converted = eval(expression, dict(sv=sv, prediction=prediction))
    assert converted.xy.shape == (2, 17, 2)
    np.testing.assert_array_equal(converted.keypoint_confidence, prediction.keypoint_scores)


@pytest.mark.parametrize("batch_size", [3, 100])
def test_batches_go_across_images_in_order(predictor, batch_size, monkeypatch):
    counts = [2, 0, 0, 3, 1, 0, 5, 0]
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 255, (90 + 7 * index, 70, 3), dtype=np.uint8) for index in range(len(counts))]
    sizes = []
    real = predictor.model.test_step
    monkeypatch.setattr(predictor.model, "test_step", lambda data: sizes.append(len(data["inputs"])) or real(data))

    def boxes(image):
        return [[1 + n, 2, 60, 80] for n in range(counts[(len(image) - 90) // 7])]

    predictions = list(predictor(images, boxes, batch_size))
    assert [prediction.name for prediction in predictions] == [f"array_{index}" for index in range(len(counts))]
    assert [len(prediction.keypoints) for prediction in predictions] == counts
    full, rest = divmod(sum(counts), batch_size)
    assert sizes == [batch_size] * full + [rest] * (rest > 0)
    monkeypatch.undo()
    for prediction, image in zip(predictions, images):
        (alone,) = predictor(image, boxes, batch_size=1)
        np.testing.assert_allclose(prediction.keypoints, alone.keypoints, atol=1e-3)
        np.testing.assert_allclose(prediction.boxes, alone.boxes)
    assert predictions[1].keypoints.shape == (0, 17, 2)
    assert predictions[1].keypoint_scores.shape == (0, 17)


def test_few_frames_wait_for_a_batch(predictor, tmp_path):
    """Frames are read as the predictions are taken: nothing is kept of those that are done."""
    write_video(tmp_path / "clip.mp4", "mp4v", 12)
    for persons, most in ((1, 5), (3, 3)):
        read = []
        predictions = predictor(tmp_path, lambda image: read.append(1) or [[0, 0, 60, 40]] * persons, batch_size=4)  # noqa: B023
        for index, _ in zip(range(10), predictions):
            assert len(read) - index <= most


def test_scores(predictor, checkpoint, path):
    (heatmap,) = predictor(path)
    assert predictor.keypoint_scores == "heatmap"
    assert len(set(heatmap.keypoint_scores[0])) > 1
    (one,) = Predictor(TINY, checkpoint, keypoint_scores="one")(path)
    assert set(one.keypoint_scores[0]) == {1.0}
    np.testing.assert_allclose(one.keypoints, heatmap.keypoints, atol=1e-4)


def test_another_head_predicts(path, tmp_path):
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py"))
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "moved.pth")
    (prediction,) = Predictor(cfg, tmp_path / "moved.pth")(path)
    assert prediction.keypoints.shape == (1, cfg.model.head.out_channels, 2)
    with pytest.raises(UserError, match="A HeatmapHead has keypoint scores of its own, but got one"):
        Predictor(cfg, tmp_path / "moved.pth", keypoint_scores="one")


def test_what_does_not_fit(checkpoint, tmp_path):
    cfg = Config.fromfile(str(TINY))
    cfg.model.head.num_joints = 14
    with pytest.raises(UserError, match=r"does not fit the config's model.*\n.*parameter"):
        Predictor(cfg, checkpoint)
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "fourteen.pth")
    with pytest.raises(UserError, match="The model predicts 14 keypoints, but the data have 17"):
        Predictor(cfg, tmp_path / "fourteen.pth")
    cfg = Config.fromfile(str(TINY))
    cfg.test_dataloader = None
    with pytest.raises(UserError, match="The config needs a test_dataloader"):
        Predictor(cfg, checkpoint)


def test_other_devices_are_a_sentence(checkpoint, reliability):
    for device, message in (
        ("0", "must be cpu or a GPU that torch can use, as cuda:0, but is '0'"),
        ("mps", "must be cpu or"),
        ("meta", "but is 'meta': MMCV's attention has no other device"),
        ("cuda:99", "must be cpu or"),
    ):
        with pytest.raises(UserError, match=message):
            Predictor(TINY, checkpoint, device)
    fault = "--device 0, gpu, mps and other wrong names"
    reliability.row("inputs", fault, 1, "a sentence that names the wrong device and the right form")


def test_predictors_in_threads_and_in_a_forked_process(checkpoint, path, reliability):
    """A fork has no threads of torch and OpenCV: an operation that needs them would wait forever."""
    with ThreadPoolExecutor(6) as pool:
        made = [*pool.map(lambda _: Predictor("tfpose_tiny_synthetic_128x96", checkpoint), range(6))]
    (expected,) = made[0](path)
    large, threads = np.zeros((720, 1280, 3), np.uint8), cv2.getNumThreads()

    def compare(make):
        (found,) = make()(path)
        cv2.GaussianBlur(large, (15, 15), 0)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=1e-3)

    cv2.setNumThreads(4)
    cv2.GaussianBlur(large, (15, 15), 0)  # starts the threads
    for make in (lambda: made[0], lambda: Predictor(TINY, checkpoint)):
        child = multiprocessing.get_context("fork").Process(target=compare, args=[make], daemon=True)
        child.start()
        child.join(60)
        assert child.exitcode == 0
    cv2.setNumThreads(threads)
    fault = "Predictors made in 6 threads at once, used and made in a forked process"
    reliability.row("inputs", fault, 1, "the same predictions")
