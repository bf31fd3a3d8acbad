from __future__ import annotations

import os
import re
import threading

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
from tfpose_mm.inference import Predictor
from tfpose_mm.inference.predictor import _use_one_thread_after_fork


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


def test_the_documented_expression_converts_to_supervision(predictor, people):
    sv = pytest.importorskip("supervision", minversion="0.29")
    (expression,) = re.findall(r"`(sv\.KeyPoints\(.*\))`", (ROOT / "docs/prediction.md").read_text())
    (prediction,) = predictor(people / "val/000000000001.jpg", two_boxes)
    converted = eval(expression, dict(sv=sv, prediction=prediction))
    assert converted.xy.shape == (2, 17, 2)
    np.testing.assert_array_equal(converted.keypoint_confidence, prediction.keypoint_scores)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
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


@pytest.mark.parametrize("persons", [1, 3])
def test_few_frames_wait_for_a_batch(predictor, persons):
    """Frames are read as the predictions are taken: nothing is kept of those that are done."""
    read = []

    def frames():
        for index in range(50):
            read.append(index)
            yield np.zeros((80, 60, 3), np.uint8)

    predictions = predictor(frames(), lambda image: [[0, 0, 60, 80]] * persons, batch_size=4)
    for index, _ in zip(range(20), predictions):
        assert len(read) - index <= (5 if persons == 1 else 3)


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
    predictor = Predictor(TINY.stem, checkpoint)
    assert predictor.metainfo["num_keypoints"] == 17
    with pytest.raises(UserError, match="batch-size must be 1 or more, but got 0"):
        predictor(np.zeros((50, 40, 3), np.uint8), batch_size=0)


def test_arrays_are_inputs(predictor, people, reliability):
    path = str(people / "val/000000000001.jpg")
    image = cv2.imread(path)
    boxes = np.array([[5.0, 6, 80, 120], [10, 20, 70, 150]])
    (expected,) = predictor(path, lambda _: boxes)
    for given in (boxes, [boxes], lambda _: boxes):
        for inputs in (image, [image], image[None], iter([image])):
            (found,) = predictor(inputs, given)
            np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    two = [*predictor([image, path], [boxes, boxes[:1]])]
    assert [len(found.boxes) for found in two] == [2, 1]
    outcome = "as the same image in a file"
    reliability.row("inputs", "arrays (H, W, 3), lists of them, a generator; boxes as arrays", 1, outcome)


def test_a_list_of_boxes_belongs_to_the_images_not_to_those_that_can_be_read(predictor, people, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    good = str(people / "val/000000000001.jpg")
    first, second = np.array([[5.0, 6, 40, 50]]), np.array([[10.0, 20, 70, 150], [1, 2, 30, 40]])
    (found,) = predictor([str(tmp_path / "bad.jpg"), good], [first, second])
    assert np.array_equal(found.boxes[:, :4], second)
    assert len(predictor.unreadable) == 1
    with pytest.raises(UserError, match="needs an array for each image, but has 3 for 2 inputs"):
        list(predictor([str(tmp_path / "bad.jpg"), good], [first, second, first]))


def test_a_stream_that_fails_keeps_what_it_gave(predictor, people):
    paths = sorted(map(str, (people / "val").glob("*.jpg")))[:2]

    def stream():
        yield np.zeros((50, 40, 3), np.uint8)
        yield np.zeros((50, 40), np.uint8)
        yield from paths
        yield "nowhere.jpg"
        yield np.ones((50, 40, 3), np.uint8)
        raise ConnectionError("the camera is gone")

    found = [(result.name, result.index) for result in predictor(stream())]
    assert found == [("stream", 0), (paths[0], 0), (paths[1], 0), ("stream", 5)]
    shape, path, end = predictor.unreadable
    assert "image 1 must be an array (H, W, 3)" in shape
    assert "The input nowhere.jpg does not exist" in path
    assert "after 6 images it raised ConnectionError: the camera is gone" in end


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "needs an array for each image, but has 0 for 1 inputs"),
        (3, "Boxes must be a json file, an array, a list of arrays or a function, but got a int"),
        (np.zeros((2, 3)), r"The boxes must give boxes \(P, 4\) or \(P, 5\)"),
        ([[5, 6, 1, 2]], "with x2 > x1 and y2 > y1"),
        ([[[5, 6, 7, 8], [5, 6]]], r"The boxes of image 0 must give boxes \(P, 4\) or \(P, 5\)"),
    ],
)
def test_other_boxes_are_a_sentence(boxes, message, predictor):
    with pytest.raises(UserError, match=message):
        list(predictor(np.zeros((50, 40, 3), np.uint8), boxes))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("0", "must be cpu or a GPU that torch can use, as cuda:0, but is '0'"),
        ("gpu", "must be cpu or"),
        ("mps", "must be cpu or"),
        ("meta", "but is 'meta': MMCV's attention has no other device"),
        ("cuda:99", "must be cpu or"),
    ],
)
def test_other_devices_are_a_sentence(device, message, checkpoint, reliability):
    with pytest.raises(UserError, match=message):
        Predictor(TINY, checkpoint, device)
    reliability.row(
        "inputs", "--device 0, gpu, mps and other wrong names", 1, "a sentence with the device that is meant"
    )


def test_a_forked_process_does_not_wait_for_the_threads_of_opencv():
    """cv2.setNumThreads(1) in the forked process joins threads that are not there: it hangs or crashes."""
    image, threads = np.zeros((720, 1280, 3), np.uint8), cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        for _ in range(20):
            cv2.GaussianBlur(image, (15, 15), 0)
            child = os.fork()
            if child == 0:
                _use_one_thread_after_fork()
                cv2.GaussianBlur(image, (15, 15), 0)
                os._exit(0)
            timer = threading.Timer(60, os.kill, (child, 9))
            timer.start()
            assert os.waitpid(child, 0)[1] == 0
            timer.cancel()
    finally:
        cv2.setNumThreads(threads)


def test_predictors_in_threads_and_in_a_forked_process(checkpoint, people, reliability):
    """A fork has no threads of torch: an operation that needs them would wait forever."""
    image = str(people / "val/000000000001.jpg")
    made, errors = [], []

    def work():
        try:
            made.append(Predictor("tfpose_tiny_synthetic_128x96", checkpoint))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(made), errors) == (6, [])
    (expected,) = made[0](image)
    for new in (False, True):
        child = os.fork()
        if child == 0:
            predictor = Predictor(TINY, checkpoint) if new else made[0]
            (found,) = predictor(image)
            os._exit(0 if np.allclose(found.keypoints, expected.keypoints, atol=1e-3) else 1)
        timer = threading.Timer(60, os.kill, (child, 9))
        timer.start()
        assert os.waitpid(child, 0)[1] == 0
        timer.cancel()
    fault = "Predictors made in 6 threads at once, used and made in a forked process"
    reliability.row("inputs", fault, 1, "the same predictions")
