from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS, TRANSFORMS

from tests.helpers.paths import ROOT
from tests.helpers.processes import start
from tfpose_mm.export import runner as onnx_runner
from tfpose_mm.export.runner import PoseRunner

METADATA = dict(
    input_size=[96, 128],
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    padding=1.25,
    use_udp=True,
    keypoint_names=["nose", "left_eye", "right_eye"],
)


@pytest.fixture
def runner(monkeypatch):
    """Return a function that builds a runner whose engine returns the corners and the centre of the input."""

    def build(batch_size=8, **changes):
        batches = []

        def infer(batch):
            batches.append(batch)
            corners = np.array([[0, 0], [96, 128], [48, 64]], np.float32)
            return np.repeat(corners[None], len(batch), 0), np.full((len(batch), 3), 0.5, np.float32)

        texts = {name: json.dumps(value) for name, value in {**METADATA, **changes}.items()}
        monkeypatch.setattr(onnx_runner, "start_onnxruntime", lambda *arguments: (infer, texts))
        built = PoseRunner("model.onnx", batch_size=batch_size)
        built.batches = batches
        return built

    return build


@pytest.mark.parametrize("use_udp", [True, False])
@pytest.mark.parametrize("padding", [1.0, 1.25])
@pytest.mark.parametrize("box", [[10, 20, 90, 70], [-9.5, 3, 40.25, 200], [0, 0, 161, 120]])
def test_it_crops_as_mmpose_does(runner, use_udp, padding, box):
    image = np.random.default_rng(0).integers(0, 255, (120, 161, 3), dtype=np.uint8)
    expected = dict(img=image, bbox=np.array([box], np.float32))
    TRANSFORMS.build(dict(type="GetBBoxCenterScale", padding=padding))(expected)
    TRANSFORMS.build(dict(type="TopdownAffine", input_size=(96, 128), use_udp=use_udp))(expected)
    built = runner(use_udp=use_udp, padding=padding, mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False)
    keypoints, _ = built(image, [box])
    pixels = built.batches[0][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(pixels, expected["img"])
    center, half = expected["input_center"], 0.5 * expected["input_scale"]
    np.testing.assert_allclose(keypoints[0], [center - half, center + half, center], rtol=1e-5, atol=1e-3)


def test_it_normalises_as_the_preprocessor(runner):
    image = np.random.default_rng(0).integers(0, 255, (128, 96, 3), dtype=np.uint8)
    built = runner(padding=1.0)
    built(image)
    raw = runner(padding=1.0, mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=False)
    raw(image)
    config = dict(type="PoseDataPreprocessor", mean=METADATA["mean"], std=METADATA["std"], bgr_to_rgb=True)
    preprocessor = MODELS.build(config)
    expected = preprocessor(dict(inputs=[torch.from_numpy(raw.batches[0][0].copy())], data_samples=[]))["inputs"]
    np.testing.assert_allclose(built.batches[0], expected.numpy(), atol=1e-5)


def test_persons_are_predicted_in_batches(runner):
    built = runner(batch_size=3)
    boxes = [[n, 2, 60 + n, 90] for n in range(7)]
    keypoints, scores = built(np.zeros((100, 80, 3), np.uint8), boxes)
    assert [len(batch) for batch in built.batches] == [3, 3, 1]
    assert (keypoints.shape, keypoints.dtype, scores.shape, scores.dtype) == ((7, 3, 2), "float32", (7, 3), "float32")
    np.testing.assert_allclose(np.diff(keypoints[:, 2, 0]), 1, atol=1e-4)  # in the order of the boxes


def test_no_boxes_and_no_persons(runner):
    built = runner(padding=1.0)
    image = np.zeros((128, 96, 3), np.uint8)
    whole, _ = built(image)
    np.testing.assert_allclose(whole, built(image, [[0, 0, 96, 128]])[0])
    keypoints, scores = built(image, [])
    assert (keypoints.shape, scores.shape) == ((0, 3, 2), (0, 3))
    with_score, _ = built(image, np.array([[0, 0, 96, 128, 0.7]]))
    np.testing.assert_allclose(with_score, whole)


def test_wrong_input_is_refused(runner):
    good = np.zeros((9, 9, 3), np.uint8)
    for image, boxes, message in (
        (good[..., 0], None, r"must be \(H, W, 3\) uint8, BGR as from cv2.imread, but got \(9, 9\)"),
        (np.zeros((2, 32767, 3), np.uint8), None, "No side of the image may be longer than 32766 pixels"),
        (good.astype(float), None, r"but got \(9, 9, 3\) float64"),
        (None, None, "but got no array"),
        (good, [[1, 2, 3]], r"boxes must be \(P, 4\).*, but got \(1, 3\)"),
        (good, [[0, 0, 5, 5], [4, 0, 4, 9]], "x1 < x2 and y1 < y2, but box 1 is"),
        (good, [[0, 9, 5, 9]], "x1 < x2 and y1 < y2, but box 0 is"),
        (good, [[0, 0, np.nan, 5]], "x1 < x2 and y1 < y2, but box 0 is"),
    ):
        with pytest.raises(ValueError, match=message):
            runner()(image, boxes)


def test_wrong_arguments_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"needs onnxruntime, .*: pip install onnxruntime"):
        PoseRunner("model.onnx")
    monkeypatch.setattr(onnx_runner, "start_onnxruntime", lambda *arguments: (None, {}))
    for arguments, message in (
        (dict(engine="tensorrt"), "engine must be one of onnxruntime, openvino, but got 'tensorrt'"),
        (dict(batch_size=0), "batch size must be at least 1, but got 0"),
        (dict(hint="fast"), "hint must be one of LATENCY, THROUGHPUT, but got 'fast'"),
        ({}, r"model.onnx has no metadata input_size, .*: give a file that tfpose export"),
    ):
        with pytest.raises(ValueError, match=message):
            PoseRunner("model.onnx", **arguments)


@pytest.mark.slow
def test_a_signal_after_models_of_openvino_are_deleted(tmp_path):
    """OpenVINO leaves a freed signal stack when its cores are deleted in the order of their creation.

    The end of the process is tested, too: a callback in Python, as in ``AsyncInferQueue``, aborted 1 of 100 processes.
    """
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    crops = ops.parameter([1, 3, 5, 4], np.float32)
    outputs = [ops.relu(crops), ops.tanh(crops)]
    for node, name in zip(outputs, ("keypoints", "scores")):
        node.output(0).set_names({name})
    openvino.save_model(openvino.Model(outputs, [crops]), tmp_path / "model.xml")
    code = (
        "import signal, subprocess, sys, numpy; from tfpose_mm.export.runner import start_openvino;"
        "first, second = (start_openvino('model.xml', 1, 'f32', 'LATENCY')[0] for _ in range(2));"
        "crops = numpy.ones((1, 3, 5, 4), numpy.float32);"
        "print(first(crops)[0].sum(), second(crops)[0].sum()); del first; del second;"
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled')); signal.raise_signal(signal.SIGUSR1)"
    )
    process = start(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=ROOT)
    assert (process.returncode, process.stdout.split()) == (0, ["60.0", "60.0", "handled"]), process.stderr
