from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

from tests.helpers.models import build, randomise
from tests.helpers.paths import ROOT, TINY
from tfpose_mm import cli
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError
from tfpose_mm.export import parity
from tfpose_mm.export.exporter import export_onnx
from tfpose_mm.export.runner import PoseRunner
from tfpose_mm.inference import Predictor

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
ENGINES = ["onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
LSPET = ROOT / "benchmarks/configs/tfpose_small_lspet_128x96.py"  # K = 14
TWO_STAGE = ROOT / "benchmarks/configs/tfpose_two-stage_small_lspet_128x96.py"


def make_checkpoint(cfg, path, spread=1.0):
    """A checkpoint with changed parameters, whose predictions depend on the image."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    randomise(model)
    for branch in model.head.reg_branches:
        torch.nn.init.normal_(branch.layers[-1].weight, std=spread)
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def _persons_of_the_check_are_drawn_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "_drawn", functools.lru_cache(parity._drawn))
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Config, checkpoint and the result of an export with a runner."""
    folder = tmp_path_factory.mktemp("exported")
    cfg = read_config(LSPET)
    checkpoint = make_checkpoint(cfg, folder / "model.pth")
    return cfg, checkpoint, export_onnx(cfg, checkpoint, out=folder / "out/model.onnx", runner=True)


def test_all_engines_agree_with_torch(exported):
    _, _, result = exported
    assert [item.engine.split()[0] for item in result.parities] == ENGINES
    assert all(item.keypoints <= 0.01 and item.scores <= 1e-3 for item in result.parities)
    assert result.variation > 5
    assert result.persons.startswith("32 persons of synthetic images, because fewer than 32 images of the test data")
    assert f"runner:  {result.path.parent}/onnx_runner.py\n" in str(result)


def test_the_runner_predicts_what_the_predictor_predicts(exported, people):
    cfg, checkpoint, result = exported
    predictor = Predictor(cfg, checkpoint)
    predictor.model.test_cfg["flip_test"] = False
    path = str(people / "val/000000000002.jpg")
    height, width = cv2.imread(path).shape[:2]
    boxes = [[3, 5, width - 9, height], [-20, 7, width / 2, height + 30], [10.5, 20.5, 50, 60]]
    (expected,) = predictor(path, lambda image: boxes)
    keypoints, scores = PoseRunner(str(result.path))(cv2.imread(path), boxes)
    np.testing.assert_allclose(keypoints, expected.keypoints, atol=0.01)
    np.testing.assert_allclose(scores, expected.keypoint_scores, atol=1e-3)
    assert scores.std() > 0  # of the auxiliary heat maps


def test_test_data_with_faults_are_not_used(people, tmp_path):
    """CheckedCocoDataset refuses a test set of which an image is missing."""
    shutil.copytree(people, tmp_path / "people")
    next((tmp_path / "people/val").iterdir()).unlink()
    persons, origin = parity.find_persons(read_config(TINY, [f"test_dataloader.dataset.data_root={tmp_path}/people"]))
    assert (len(persons), origin[:19]) == (32, "of synthetic images")


def test_the_file_describes_the_model(exported):
    _, checkpoint, result = exported
    metadata = PoseRunner(str(result.path)).metadata
    assert metadata == json.loads(json.dumps(result.metadata))
    assert (metadata["input_size"], metadata["padding"], metadata["keypoint_scores"]) == ([96, 128], 1.25, "heatmap")
    assert (metadata["bgr_to_rgb"], metadata["use_udp"]) == (True, True)
    assert metadata["mean"] == pytest.approx([123.675, 116.28, 103.53])
    names = metadata["keypoint_names"]
    assert len(names) == len(metadata["sigmas"]) == 14
    sides = [{names[index].split("_")[0] for index in pair} for pair in metadata["flip_pairs"]]
    assert sides == [{"left", "right"}] * 6
    assert all(0 <= end < 14 for link in metadata["skeleton_links"] for end in link)
    assert metadata["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert metadata["versions"]["torch"] == torch.__version__.partition("+")[0]
    graph = pytest.importorskip("onnx").load(str(result.path))
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}  # standard operators
    assert not [node.op_type for node in graph.graph.node if node.op_type.startswith("Sequence")]
    assert [(opset.domain, opset.version) for opset in graph.opset_import if opset.domain == ""] == [("", 17)]


@pytest.fixture(scope="module")
def crowd():
    """An image with 11 boxes."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 255, (90, 70, 3), dtype=np.uint8)
    return image, generator.uniform([0, 0, 40, 50], [30, 40, 70, 90], (11, 4))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_batch_has_any_size(exported, crowd, engine):
    path = str(exported[2].path)
    alone = PoseRunner(path, engine, batch_size=1)(*crowd)
    for size in (2, 11):
        for got, expected in zip(PoseRunner(path, engine, batch_size=size)(*crowd), alone):
            np.testing.assert_allclose(got, expected, atol=1e-3)


def test_openvino_in_threads_and_in_reduced_precision(exported, crowd):
    pytest.importorskip("openvino")
    path, (image, boxes) = str(exported[2].path), crowd
    full, reduced = (PoseRunner(path, "openvino", precision=name)(image)[0] for name in ("f32", "bf16"))
    assert 0 < np.abs(full - reduced).max() < 5
    expected = PoseRunner(path, "openvino", batch_size=1)(image, boxes)[0]
    runner = PoseRunner(path, "openvino", batch_size=5, hint="THROUGHPUT")
    with ThreadPoolExecutor(2) as pool:  # calls with several persons, or one
        for got, _ in pool.map(lambda _: runner(image, boxes), range(20)):
            np.testing.assert_allclose(got, expected, atol=1e-3)
        for got, _ in pool.map(lambda part: runner(image, part), np.array_split(boxes[[3] * 20], 20)):
            np.testing.assert_allclose(got, expected[[3]], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "arguments", "options"),
    [
        (LSPET, dict(flip_test=True), {}),
        (LSPET, dict(keypoint_scores="one"), {}),
        (LSPET, {}, {"model.neck.num_layers": 0}),
        (TWO_STAGE, {}, {}),
        (TWO_STAGE, dict(flip_test=True), {}),
    ],
)
def test_other_models(config, arguments, options, tmp_path):
    cfg = read_config(config, options)
    checkpoint = make_checkpoint(cfg, tmp_path / "model.pth")
    result = export_onnx(cfg, checkpoint, out=tmp_path / "model.onnx", **arguments)
    assert max(item.keypoints for item in result.parities) <= 0.01
    assert result.metadata["flip_test"] == arguments.get("flip_test", False)


def test_half_precision_on_the_command_line(exported, tmp_path):
    """Random weights enlarge rounding errors: with a spread of 1 the difference is 0.9 to 1.7 px, here 0.4 to 0.6."""
    cfg, _, full = exported
    checkpoint = make_checkpoint(cfg, tmp_path / "model.pth", spread=0.25)
    command = ["export", str(LSPET), str(checkpoint), "--out", str(tmp_path / "half.onnx"), "--fp16"]
    assert cli.main(command) == 0  # keypoints differ by up to 1 pixel
    assert (tmp_path / "half.onnx").stat().st_size < 0.7 * full.path.stat().st_size
    assert cli.main(command) == 2  # it exists


@pytest.mark.slow
def test_the_runner_needs_no_other_package(exported, people, tmp_path):
    """Only numpy, OpenCV and ONNX Runtime can be imported: an import fails if the module is None in sys.modules."""
    _, _, result = exported
    image = str(people / "val/000000000001.jpg")
    code = f"""
import json, pkgutil, sys
installed = {{module.name for module in pkgutil.iter_modules([path for path in sys.path if "site-packages" in path])}}
assert "torch" in installed
sys.modules.update(dict.fromkeys({{"tfpose_mm", *installed}} - {{"numpy", "cv2", "onnxruntime"}} - set(sys.modules)))
sys.path.insert(0, {str(result.runner.parent)!r})
import cv2
from onnx_runner import PoseRunner
keypoints, scores = PoseRunner({str(result.path)!r})(cv2.imread({image!r}), [[5, 6, 80, 90]])
print(json.dumps([keypoints.tolist(), scores.tolist()]))
"""
    command = [sys.executable, "-I", "-c", code]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    expected = PoseRunner(str(result.path))(cv2.imread(image), [[5, 6, 80, 90]])
    for got, wanted in zip(json.loads(process.stdout), expected):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_nothing_is_overwritten(exported, tmp_path):
    cfg, checkpoint, _ = exported
    for name in ("model.onnx", "onnx_runner.py"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(UserError, match=f"{name} exists already: delete it or choose another name; nothing"):
            export_onnx(cfg, checkpoint, out=tmp_path / "model.onnx", runner=True)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def refused(exported, tmp_path):
    """Export, see that it is refused with a sentence and leaves no file."""

    def export(message, config=exported[0], weights=exported[1]):
        with pytest.raises(UserError, match=message):
            export_onnx(config, weights, out=tmp_path / "out/model.onnx", runner=True)
        assert not list((tmp_path / "out").glob("*"))

    return export


def test_an_export_that_differs_is_not_written(refused, monkeypatch):
    real = PoseRunner.__call__

    def shifted(self, image, bboxes=None):
        keypoints, scores = real(self, image, bboxes)
        return keypoints + np.array([0.02, 0]), scores

    monkeypatch.setattr(PoseRunner, "__call__", shifted)
    refused(r"agree with torch within 0.01 pixels, but onnxruntime .* differs by 0.02\d*: nothing was written")


def test_what_cannot_be_exported_is_a_sentence(refused, checkpoint, tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            refused(rf"The export needs {name}, .*: pip install onnx onnxruntime")
    peer = ROOT / "benchmarks/configs/simcc_small_lspet_128x96.py"
    refused("must have a TFPoseHead, but the config has a SimCCHead", peer)
    refused("does not fit", weights=checkpoint)
    refused("does not exist", weights=tmp_path / "none.pth")
    changed = read_config(LSPET)
    untrained = build(changed.model)  # its last layers are zero, so it predicts y_0
    torch.save(dict(state_dict=untrained.state_dict()), tmp_path / "untrained.pth")
    sentence = r"differ between persons by more than 5 pixels, .*: export a trained checkpoint"
    refused(sentence, weights=tmp_path / "untrained.pth")
    changed.test_dataloader.dataset.pipeline.insert(1, dict(type="PhotometricDistortion"))
    refused("PackPoseInputs, but has PhotometricDistortion: remove it", changed)
