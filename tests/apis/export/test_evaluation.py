"""The metrics of an exported model are those of the model in torch."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tests.apis.export.test_export import TINY, make_checkpoint
from tfpose_lite.onnx_runner import PoseRunner
from tfpose_mm.apis import KeepSamples, export_onnx, read_config, run_test
from tfpose_mm.apis.export import evaluate_onnx
from tfpose_mm.utils import UserError

METRICS = [dict(type="EPE"), dict(type="PCKAccuracy", thr=0.2)]  # AP is zero with random parameters


@pytest.fixture(scope="module")
def exported(people, tmp_path_factory):
    """The demo's config with metrics that are not zero, a checkpoint and its exported model."""
    folder = tmp_path_factory.mktemp("evaluated")
    options = {"test_dataloader.dataset.data_root": str(people), "test_evaluator": METRICS}
    cfg = read_config(TINY, options)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False, batch_size=3)
    checkpoint = make_checkpoint(cfg, folder / "model.pth")
    return cfg, checkpoint, export_onnx(cfg.copy(), checkpoint, folder / "model.onnx", flip_test=True).path


@pytest.mark.slow
def test_the_metrics_are_those_of_mim_test(exported, tmp_path):
    cfg, checkpoint, model = exported
    metrics = evaluate_onnx(cfg.copy(), PoseRunner(str(model)))
    _, expected = run_test(cfg.copy(), str(checkpoint), tmp_path, KeepSamples())
    assert set(metrics) == set(expected) == {"EPE", "PCK"}
    assert metrics["EPE"] == pytest.approx(expected["EPE"], abs=0.01)
    assert metrics["PCK"] == pytest.approx(expected["PCK"], abs=1e-6)
    assert expected["EPE"] > 5


def test_another_skeleton_is_refused(exported):
    _, _, model = exported
    runner = PoseRunner(str(model))
    runner.metadata["keypoint_names"] = runner.metadata["keypoint_names"][:-1]
    with pytest.raises(UserError, match=r"must have the 17 keypoints of the test data .*, but has 16 "):
        evaluate_onnx(exported[0].copy(), runner)
