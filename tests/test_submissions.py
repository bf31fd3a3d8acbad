"""Write submission files as users do: MPII from training to the file, and COCO's test-dev."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.mpii import as_matlab_evaluates, write_mpii, write_release
from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import NO_WORKERS, SCRIPTS, SMALL, TFPOSE, start, succeed
from tests.own_data.layouts import read, write
from tfpose_mm.config_files import read_config
from tfpose_mm.engine.running import KeepSamples, run_test

pytestmark = pytest.mark.slow
HEATMAP = "topdown_heatmap/mpii/td-hm_res50_8xb64-210e_mpii-256x256.py"
MPII_CONFIG = f"""
_base_ = "{ROOT}/configs/tfpose_r50_mpii_256x256.py"
from mmengine.config import Config

tiny = Config.fromfile("{TINY}").model
head = dict(tiny.head, num_joints=16, decoder=_base_.codec)
model = dict(backbone=tiny.backbone, neck=tiny.neck, head=head)
train_cfg = dict(max_epochs=16, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=1))
del tiny, head, Config
"""


def save_moved(config, path):
    """Save a checkpoint whose predictions differ between instances."""
    model = randomise(MODELS.build(Config.fromfile(str(config)).model))
    torch.save(dict(state_dict=model.state_dict()), path)


@pytest.fixture(scope="module")
def mpii(people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mpii")
    write_release(folder / "release.mat", write_mpii(people, folder / "data"))
    (folder / "tiny_mpii_256x256.py").write_text(MPII_CONFIG)
    save_moved(folder / "tiny_mpii_256x256.py", folder / "moved.pth")
    return folder


def test_mpii_trains_and_is_evaluated_by_joint_group(mpii):
    train = [sys.executable, SCRIPTS / "train.py"]
    command = [*train, "tiny_mpii_256x256.py", "--work-dir", "work", "--cfg-options", *SMALL]
    log = succeed(start(*command, cwd=mpii, MPII_ROOT=mpii / "data"))
    assert "Head PCK:" in log
    assert list((mpii / "work").glob("best_PCK_*.pth"))
    command = [*TFPOSE, "test", "tiny_mpii_256x256.py", "moved.pth"]
    table = succeed(start(*command, "--cfg-options", *NO_WORKERS, cwd=mpii, MPII_ROOT=mpii / "data"))
    names = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert names == ["Head", "Sho.", "Elb.", "Wri.", "Hip", "Knee", "Ank.", "Total", "Total@0.1"]


def test_mpii_s_file_holds_what_the_model_predicts(mpii, monkeypatch):
    command = [*TFPOSE, "submission", "tiny_mpii_256x256.py", "moved.pth"]
    arguments = ["--release", "release.mat", "--out", "submission"]
    options = ["--cfg-options", *NO_WORKERS, "test_dataloader.batch_size=4"]
    log = succeed(start(*command, *arguments, *options, cwd=mpii, MPII_ROOT=mpii / "data"))
    assert "6 persons are written to submission/pred_keypoints_mpii.mat" in log
    points = as_matlab_evaluates(mpii / "submission/pred_keypoints_mpii.mat", mpii / "release.mat")

    # the same instances, read by MMPose's own data set
    monkeypatch.setenv("MPII_ROOT", str(mpii / "data"))
    cfg = read_config(mpii / "tiny_mpii_256x256.py", NO_WORKERS)
    cfg.test_evaluator = []
    keep = KeepSamples()
    run_test(cfg, mpii / "moved.pth", mpii / "direct", keep)
    expected = np.array([sample.pred_instances.keypoints[0] for sample in keep.samples])
    assert expected.shape == (5, 16, 2)
    np.testing.assert_allclose(points[:-1], expected + 1, atol=1e-3)
    np.testing.assert_array_equal(points[-1], points[-2])  # one person, in two images of the release
    assert np.abs(points[0] - points[1]).max() > 5

    again = start(*command, *arguments, cwd=mpii)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("error: submission/pred_keypoints_mpii.mat exists already")


@pytest.mark.parametrize(
    ("config", "option", "message"),
    [
        (TINY, NO_WORKERS[0], "The config predicts 17 joints of a CheckedCocoDataset: choose one that"),
        (f"mmpose::body_2d_keypoint/{HEATMAP}", "model.head.out_channels=15", "predicts 15 joints of a MpiiDataset"),
        (None, "test_dataloader.dataset.data_root=/no", "The image /no/images/900000000001.jpg does not exist"),
        (None, "model.head.num_layers=3", "| head.transformer_decoder.layers.2.norms.1.bias"),
    ],
)
def test_what_does_not_fit_is_refused_for_mpii(mpii, tmp_path, config, option, message):
    tool = [*TFPOSE, "submission", config or mpii / "tiny_mpii_256x256.py"]
    command = [*tool, mpii / "moved.pth", "--release", mpii / "release.mat", "--cfg-options", *NO_WORKERS, option]
    process = start(*command, cwd=tmp_path, MPII_ROOT=mpii / "data")
    assert process.returncode == 2, process.stderr[-2000:]
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.rglob("*.mat"))


def test_testdev_writes_what_the_server_takes(people, tmp_path):
    config = tmp_path / "tiny_testdev.py"
    config.write_text(
        f'_base_ = ["{TINY}", "{ROOT}/configs/_base_/coco_testdev.py"]\n'
        "boxes = f'{_base_.data_root}/{_base_.testdev.boxes}'\n"
        "test_dataloader = dict(dataset=dict(bbox_file=boxes, **_base_.testdev.dataset))\n"
        "test_evaluator = dict(_delete_=True, folder='out', **_base_.testdev.evaluator)\n"
    )
    data, content = tmp_path / "data", read(people, "val")
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.5) for a in content.pop("annotations")]
    write(data / "annotations/image_info_test-dev2017.json", content)
    write(data / "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json", boxes)
    (data / "test2017").symlink_to(people / "val")
    save_moved(TINY, tmp_path / "moved.pth")

    command = [sys.executable, SCRIPTS / "test.py", config, "moved.pth", "--cfg-options", *NO_WORKERS[2:4]]
    refused = [*TFPOSE, "report", config, "moved.pth", "--out", "report"]
    process = start(*refused, cwd=tmp_path, SYNTHETIC_ROOT=data)
    assert process.returncode == 2
    assert "writes a submission: run mim test mmpose" in process.stderr.splitlines()[-1]
    succeed(start(*command, cwd=tmp_path, SYNTHETIC_ROOT=data))
    written = tmp_path / "out/person_keypoints_test-dev2017_tfpose_results.json"
    assert written.with_suffix(".zip").is_file()
    predicted = json.loads(written.read_text())
    assert [person["image_id"] for person in predicted] == [box["image_id"] for box in boxes]
    assert {person["score"] for person in predicted} == {0.5}  # the box's score times keypoint scores of 1
