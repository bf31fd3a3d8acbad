"""Run the main commands as users do: mim trains, tests and evaluates, from any folder, without PYTHONPATH."""

from __future__ import annotations

import json
import re
import shutil
import sys

import cv2
import mmengine
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import MMPoseInferencer
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import NO_WORKERS, SCRIPTS, SMALL, mim, start
from tfpose_mm import training
from tfpose_mm.errors import UserError


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """Train two iterations on nine instances, with validation; return (folder, finished process)."""
    folder = tmp_path_factory.mktemp("train")
    return folder, mim("train", "--work-dir", "work", cwd=folder, data=people, itself=True)


def metrics_of(output):
    """Return the last line of a log with metrics, from AP on."""
    line = [line for line in output.splitlines() if "coco/AP:" in line][-1]
    return line[line.index("coco/AP:") : line.index("data_time")]


def test_mim_trains(trained):
    folder, process = trained
    log = process.stdout + process.stderr
    assert process.returncode == 0, log[-3000:]
    assert "Epoch(train) [1][2/2]" in log
    assert "loss_kpt_layer1" in log
    assert "loss_heatmap" in log
    assert "coco/AP:" in log
    assert (folder / "work/epoch_1.pth").is_file()


@pytest.fixture(scope="module")
def moved(trained):
    """The trained checkpoint with every parameter changed, so that a test shows whether it was loaded."""
    folder, _ = trained
    checkpoint = torch.load(folder / "work/epoch_1.pth", map_location="cpu")
    model = MODELS.build(Config.fromfile(str(TINY)).model)
    model.load_state_dict(checkpoint["state_dict"])
    checkpoint["state_dict"] = randomise(model).state_dict()
    torch.save(checkpoint, folder / "moved.pth")
    return folder / "moved.pth"


def test_mim_tests_what_it_trained(trained, people):
    folder, process = trained
    tested = mim("test", "--checkpoint", "work/epoch_1.pth", cwd=folder, data=people, itself=True)
    log = tested.stdout + tested.stderr
    assert tested.returncode == 0, log[-3000:]
    assert metrics_of(log) == metrics_of(process.stdout + process.stderr)


@pytest.mark.slow
def test_tfpose_test_measures_what_mim_test_measures(trained, moved, people):
    folder, process = trained
    command = [sys.executable, "-m", "tfpose_mm", "test", TINY, moved, "--out", "metrics.json"]
    command += ["--dump", "predictions.pkl", "--work-dir", "tested", "--cfg-options", *NO_WORKERS]
    evaluated = start(*command, cwd=folder, SYNTHETIC_ROOT=people)
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    metrics = json.loads((folder / "metrics.json").read_text())
    tested = mim("test", "--checkpoint", moved, cwd=folder, data=people)
    logged = metrics_of(tested.stdout + tested.stderr)
    assert logged != metrics_of(process.stdout + process.stderr)
    assert f"coco/AP: {metrics['coco/AP']:.6f}" in logged
    assert f"PCK@0.2/PCK: {metrics['PCK@0.2/PCK']:.6f}" in logged
    assert "| AP " in evaluated.stdout
    assert metrics["cfg_options"]["test_dataloader.num_workers"] == 0
    assert (metrics["config"], metrics["instances"]) == (TINY.stem, 5)
    assert len(mmengine.load(str(folder / "predictions.pkl"))) == 5
    (log,) = (folder / "tested").glob("*/*.log")
    shown = evaluated.stdout + evaluated.stderr
    assert "custom_imports" in log.read_text()  # the whole config is in the file, and not on the console
    assert "custom_imports" not in shown
    assert "Epoch(test)" in shown
    again = start(*command, cwd=folder, SYNTHETIC_ROOT=people)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("error: metrics.json exists already")


@pytest.mark.slow
def test_tfpose_train_trains_as_mim_train(trained, people):
    """The same seed gives the same losses; weights of a checkpoint and the scaled rate are taken."""
    folder, _ = trained
    train = [sys.executable, "-m", "tfpose_mm", "train", TINY, "--cfg-options", *SMALL, "randomness.seed=5"]
    ours = start(*train, "--work-dir", "ours", cwd=folder, SYNTHETIC_ROOT=people)
    assert ours.returncode == 0, ours.stderr[-3000:]
    last = ours.stdout.splitlines()[-1]
    assert last == f"The training is complete. Log and checkpoints: {folder / 'ours'}"
    mims = mim("train", "--work-dir", "mims", cwd=folder, data=people, options=["randomness.seed=5"])
    assert mims.returncode == 0, mims.stderr[-3000:]
    (weights, optimizer), (expected, _) = state_of(folder / "ours", 1), state_of(folder / "mims", 1)
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=0, rtol=0, msg=name)
    scaled = start(
        *train, "--work-dir", "ours_scaled", "--auto-scale-lr", "--load-from", "ours/epoch_1.pth",
        cwd=folder, SYNTHETIC_ROOT=people,
    )  # fmt: skip
    assert scaled.returncode == 0, scaled.stderr[-3000:]
    log = scaled.stdout + scaled.stderr
    assert "Load checkpoint from ours/epoch_1.pth" in log
    rate = state_of(folder / "ours_scaled", 1)[1]["param_groups"][0]["lr"] / optimizer["param_groups"][0]["lr"]
    assert rate == pytest.approx(5 / Config.fromfile(str(TINY)).auto_scale_lr.base_batch_size)
    resumed = start(
        *train, "train_cfg.max_epochs=2", "--work-dir", "ours", "--resume", cwd=folder, SYNTHETIC_ROOT=people
    )
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert "Epoch(train)  [1]" not in resumed.stdout + resumed.stderr
    assert (folder / "ours/epoch_2.pth").is_file()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_amp_without_a_gpu_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="--amp needs a GPU, but torch finds only the device cpu: leave --amp out"):
        training.train(TINY, work_dir=tmp_path, amp=True)


def test_persistent_workers_without_workers_are_a_sentence(tmp_path):
    options = ["val_dataloader.num_workers=0", "val_dataloader.persistent_workers=True"]
    with pytest.raises(UserError, match="val_dataloader has persistent_workers=True, but num_workers=0: set"):
        training.train(TINY, work_dir=tmp_path, cfg_options=options)


@pytest.mark.parametrize(("launcher", "variable"), [("pytorch", "RANK"), ("slurm", "SLURM_PROCID")])
def test_a_launcher_that_has_not_started_the_process_is_a_sentence(launcher, variable, tmp_path, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match=f"--launcher {launcher} needs .* {variable} is not set: start the command"):
        training.train(TINY, work_dir=tmp_path, launcher=launcher)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_amp_is_taken(people, tmp_path):
    options = ["--work-dir", "amp", "--amp", "--cfg-options", *SMALL]
    process = start(sys.executable, "-m", "tfpose_mm", "train", TINY, *options, cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "AmpOptimWrapper" in next((tmp_path / "amp").glob("*/*.log")).read_text()


@pytest.mark.slow
def test_a_diverged_model_is_refused(trained, people):
    """COCO's evaluation would give it an AP of 1."""
    folder, _ = trained
    checkpoint = torch.load(folder / "work/epoch_1.pth", map_location="cpu")
    checkpoint["state_dict"]["head.reg_branches.1.layers.2.bias"][0] = float("nan")
    torch.save(checkpoint, folder / "diverged.pth")
    command = [sys.executable, "-m", "tfpose_mm", "test", TINY, "diverged.pth", "--out", "diverged.json"]
    refused = start(*command, cwd=folder, SYNTHETIC_ROOT=people)
    assert refused.returncode == 2, refused.stderr[-3000:]
    assert "error: The model must predict finite coordinates" in refused.stderr.splitlines()[-1]
    assert not (folder / "diverged.json").exists()


@pytest.mark.slow
def test_detected_boxes(trained, people):
    """Test as the main config does: boxes of a detector, annotations only for the metric."""
    folder, _ = trained
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    config = folder / "boxes.py"  # PCK wants annotations with the boxes
    config.write_text(f"_base_ = {str(TINY)!r}\ntest_evaluator = [dict(type='CocoMetric')]\n")
    options = ["--cfg-options", "test_dataloader.dataset.bbox_file=boxes.json"]
    command = [sys.executable, "-m", "tfpose_mm", "test", config, "work/epoch_1.pth", "--out", "boxes/metrics.json"]
    evaluated = start(*command, *options, cwd=folder, SYNTHETIC_ROOT=people)
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    metrics = json.loads((folder / "boxes/metrics.json").read_text())
    assert metrics["coco/AP"] >= 0
    assert metrics["boxes"] == "boxes.json"


def test_the_inferencer_of_mmpose_runs_it(moved, people):
    inferencer = MMPoseInferencer(pose2d=str(TINY), pose2d_weights=str(moved), det_model="whole_image", device="cpu")
    result = next(inferencer(str(people / "val/000000000001.jpg")))
    (person,) = result["predictions"][0]
    assert len(person["keypoints"]) == 17
    assert person["keypoint_scores"] == [1.0] * 17


@pytest.mark.slow
def test_learning_rates_scale_with_the_batch_size(trained, people):
    """``--auto-scale-lr`` scales the learning rate by batch size 5 divided by the recipe's batch size."""
    folder, _ = trained
    cfg = Config.fromfile(str(TINY))
    process = mim("train", "--work-dir", "scaled", "--auto-scale-lr", cwd=folder, data=people)
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]

    def rates(run):
        (scalars,) = (folder / run).glob("*/vis_data/scalars.json")
        lines = map(json.loads, scalars.read_text(encoding="utf-8").splitlines())
        return [line["lr"] for line in lines if "lr" in line]

    expected = [rate * 5 / cfg.auto_scale_lr.base_batch_size for rate in rates("work")]
    assert rates("scaled") == pytest.approx(expected, rel=1e-6)
    assert len(expected) == 2


def state_of(folder, epoch):
    """Weights and optimizer state of a checkpoint."""
    checkpoint = torch.load(folder / f"epoch_{epoch}.pth", map_location="cpu")
    return checkpoint["state_dict"], checkpoint["optimizer"]


@pytest.mark.slow
def test_resume_equals_a_training_without_interruption(people, tmp_path):
    """Weights and optimizer state after two epochs. Nothing is random in the second: no shuffling, no augmentation."""
    fixed = [
        "randomness.seed=3",
        "train_dataloader.sampler.shuffle=False",
        "train_dataloader.dataset.pipeline.2.prob=0.0",
        "train_dataloader.dataset.pipeline.3.prob=0.0",
        "train_dataloader.dataset.pipeline.4.scale_prob=0.0",
        "train_dataloader.dataset.pipeline.4.rotate_prob=0.0",
        "train_cfg.max_epochs=2",
        "train_cfg.val_interval=5",
    ]
    whole = mim("train", "--work-dir", "whole", cwd=tmp_path, data=people, options=fixed)
    assert whole.returncode == 0, (whole.stdout + whole.stderr)[-3000:]
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole/epoch_1.pth", tmp_path / "resumed/epoch_1.pth")
    (tmp_path / "resumed/last_checkpoint").write_text(str(tmp_path / "resumed/epoch_1.pth"))
    other_seed = ["randomness.seed=4", *fixed[1:]]  # a training from scratch would differ
    resumed = mim("train", "--work-dir", "resumed", "--resume", cwd=tmp_path, data=people, options=other_seed)
    assert resumed.returncode == 0, (resumed.stdout + resumed.stderr)[-3000:]
    (weights, optimizer), (expected, expected_optimizer) = (state_of(tmp_path / run, 2) for run in ("resumed", "whole"))
    first, _ = state_of(tmp_path / "whole", 1)
    assert not torch.equal(expected["backbone.conv1.weight"], first["backbone.conv1.weight"])
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=0, rtol=0, msg=name)
    assert len(optimizer["state"]) == len(expected_optimizer["state"]) > 100
    for key, state in expected_optimizer["state"].items():
        for name, value in state.items():
            torch.testing.assert_close(optimizer["state"][key][name], value, atol=0, rtol=0)
    assert [g["lr"] for g in optimizer["param_groups"]] == [g["lr"] for g in expected_optimizer["param_groups"]]


@pytest.mark.slow
def test_missing_files_are_named(trained, people, tmp_path):
    folder, _ = trained
    test = [sys.executable, "-m", "tfpose_mm", "test"]
    for arguments, message in (
        ([TINY, "nowhere.pth"], "error: The checkpoint nowhere.pth does not exist"),
        (["nowhere.py", "work/epoch_1.pth"], "error: The config nowhere.py does not exist"),
    ):
        process = start(*test, *arguments, cwd=folder, SYNTHETIC_ROOT=people)
        assert process.returncode == 2
        assert process.stderr.splitlines()[-1].startswith(message)
    process = start(*test, TINY, "work/epoch_1.pth", cwd=folder, SYNTHETIC_ROOT=tmp_path / "none")
    assert process.returncode == 2
    assert "annotation file" in process.stderr.splitlines()[-1]
    assert "does not exist: point the config's data_root to the data" in process.stderr.splitlines()[-1]


@pytest.mark.slow
def test_instances_of_a_missing_image_are_left_out(people, tmp_path):
    shutil.copytree(people, tmp_path / "people")
    (tmp_path / "people/train/000000000004.jpg").unlink()
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=tmp_path / "people")
    assert process.returncode == 0, process.stderr[-2000:]
    log = process.stdout + process.stderr
    assert "1 of 9 images are missing, as '" in log
    assert "their instances are left out" in log
    assert "8 instances are used" in log


@pytest.mark.slow
def test_a_cut_image_is_named(people, tmp_path):
    shutil.copytree(people, tmp_path / "people")
    image = tmp_path / "people/train/000000000004.jpg"
    image.write_bytes(image.read_bytes()[:20])
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=tmp_path / "people")
    assert process.returncode != 0
    assert "000000000004.jpg" in process.stderr
    assert "the image must be readable, but fails with" in process.stderr


@pytest.mark.slow
def test_missing_annotations_are_named(tmp_path):
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=tmp_path / "none")
    assert process.returncode != 0
    assert "person_keypoints_train.json does not exist: correct ann_file, bbox_file and data_root" in process.stderr


@pytest.mark.slow
def test_another_number_of_joints_is_named(people, tmp_path):
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=people, options=["model.head.num_joints=14"])
    assert process.returncode != 0
    assert "TFPoseHead predicts num_joints=14 keypoints, but the data set's keypoint labels have 17" in process.stderr


def tensorboard_tags(folder):
    """Names of the values in the only event file below a folder."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (path,) = folder.rglob("events.out.tfevents*")
    events = accumulator.EventAccumulator(str(path))
    events.Reload()
    return set(events.Tags()["scalars"])


@pytest.mark.slow
def test_tensorboard_by_one_option(people, tmp_path):
    options = ["visualizer.vis_backends.0.type=TensorboardVisBackend"]
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=people, options=options)
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]
    assert {"loss_kpt_layer1", "loss_kpt", "loss_heatmap", "lr", "coco/AP"} <= tensorboard_tags(tmp_path / "work")


@pytest.mark.slow
def test_tensorboard_beside_the_log_and_pictures_of_the_validation(people, tmp_path):
    """The line for a config, and the option, of docs/training.md."""
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^visualizer = .*$", page, re.M)
    (tmp_path / "mine.py").write_text(f"_base_ = {str(TINY)!r}\n{line}\n")
    hook = [f"default_hooks.visualization.{option}" for option in ("enable=True", "interval=1")]
    assert "--cfg-options " + hook[0] in page
    command = [sys.executable, SCRIPTS / "train.py", "mine.py", "--work-dir", "work", "--cfg-options", *SMALL, *hook]
    process = start(*command, cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]
    assert "coco/AP" in tensorboard_tags(tmp_path / "work")
    (scalars,) = (tmp_path / "work").rglob("scalars.json")
    assert "loss_kpt_layer1" in scalars.read_text()
    (pictures,) = (tmp_path / "work").rglob("vis_image")
    assert cv2.imread(str(next(pictures.iterdir()))).std() > 5
