"""Run the main commands as users do: mim trains, tests and evaluates, from any folder, without PYTHONPATH."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys

import cv2
import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.apis import MMPoseInferencer
from mmpose.registry import MODELS

from tests.helpers.models import randomise
from tests.helpers.paths import MAIN, ROOT, TINY
from tests.helpers.processes import NO_WORKERS, SMALL, mim, start
from tfpose_mm import training
from tfpose_mm.datasets.config_data import need_annotation_files
from tfpose_mm.errors import UserError

TFPOSE = (sys.executable, "-m", "tfpose_mm")


def succeed(process):
    """Its output."""
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]
    return process.stdout + process.stderr


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    """Train two iterations on nine instances, with validation; return (folder, log)."""
    folder = tmp_path_factory.mktemp("train")
    return folder, succeed(mim("train", "--work-dir", "work", cwd=folder, data=people, itself=True))


def metrics_of(output):
    """Return the last line of a log with metrics, from AP on."""
    line = [line for line in output.splitlines() if "coco/AP:" in line][-1]
    return line[line.index("coco/AP:") : line.index("data_time")]


def test_mim_trains_and_tests(trained, people):
    folder, log = trained
    for part in ("Epoch(train) [1][2/2]", "loss_kpt_layer1", "loss_heatmap", "coco/AP:"):
        assert part in log
    tested = succeed(mim("test", "--checkpoint", "work/epoch_1.pth", cwd=folder, data=people, itself=True))
    assert metrics_of(tested) == metrics_of(log)


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


@pytest.mark.slow
def test_tfpose_test_measures_what_mim_test_measures(trained, moved, people):
    folder, log = trained
    command = [*TFPOSE, "test", TINY, moved, "--out", "metrics.json", "--dump", "predictions.pkl"]
    command += ["--work-dir", "tested", "--cfg-options", *NO_WORKERS]
    shown = succeed(start(*command, cwd=folder, SYNTHETIC_ROOT=people))
    metrics = json.loads((folder / "metrics.json").read_text())
    logged = metrics_of(succeed(mim("test", "--checkpoint", moved, cwd=folder, data=people)))
    assert logged != metrics_of(log)
    assert f"coco/AP: {metrics['coco/AP']:.6f}" in logged
    assert f"PCK@0.2/PCK: {metrics['PCK@0.2/PCK']:.6f}" in logged
    assert "| AP " in shown
    assert metrics["cfg_options"]["test_dataloader.num_workers"] == 0
    assert (metrics["config"], metrics["instances"]) == (TINY.stem, 5)
    assert len(mmengine.load(str(folder / "predictions.pkl"))) == 5
    (file,) = (folder / "tested").glob("*/*.log")
    assert "custom_imports" in file.read_text()  # the whole config is in the file, and not on the console
    assert "custom_imports" not in shown
    assert "Epoch(test)" in shown
    again = start(*command, cwd=folder, SYNTHETIC_ROOT=people)
    assert again.returncode == 2
    assert again.stderr.splitlines()[-1].startswith("error: metrics.json exists already")


def state_of(folder, epoch):
    """Weights and optimizer state of a checkpoint."""
    checkpoint = torch.load(folder / f"epoch_{epoch}.pth", map_location="cpu")
    return checkpoint["state_dict"], checkpoint["optimizer"]


@pytest.mark.slow
def test_tfpose_train_trains_as_mim_train(trained, people):
    """The same seed gives the same losses; weights of a checkpoint and the scaled learning rate are taken."""
    folder, _ = trained
    train = [*TFPOSE, "train", TINY, "--cfg-options", *SMALL, "randomness.seed=5"]
    ours = succeed(start(*train, "--work-dir", "ours", cwd=folder, SYNTHETIC_ROOT=people))
    assert f"The training is complete. Log and checkpoints: {folder / 'ours'}" in ours
    succeed(mim("train", "--work-dir", "mims", cwd=folder, data=people, options=["randomness.seed=5"]))
    (weights, optimizer), (expected, _) = state_of(folder / "ours", 1), state_of(folder / "mims", 1)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    scaled = [*train, "--work-dir", "ours_scaled", "--auto-scale-lr", "--load-from", "ours/epoch_1.pth"]
    assert "Load checkpoint from ours/epoch_1.pth" in succeed(start(*scaled, cwd=folder, SYNTHETIC_ROOT=people))
    rate = state_of(folder / "ours_scaled", 1)[1]["param_groups"][0]["lr"] / optimizer["param_groups"][0]["lr"]
    assert rate == pytest.approx(5 / Config.fromfile(str(TINY)).auto_scale_lr.base_batch_size)
    resumed = [*train, "train_cfg.max_epochs=2", "--work-dir", "ours", "--resume"]
    assert "Epoch(train)  [1]" not in succeed(start(*resumed, cwd=folder, SYNTHETIC_ROOT=people))
    assert (folder / "ours/epoch_2.pth").is_file()


def refuse_training(tmp_path, message, **options):
    with pytest.raises(UserError, match=message):
        training.train(TINY, work_dir=tmp_path, **options)


def test_options_that_cannot_work_are_a_sentence(tmp_path, monkeypatch):
    if not torch.cuda.is_available():
        refuse_training(tmp_path, "--amp needs a GPU, but torch finds only the device cpu", amp=True)
    options = ["val_dataloader.num_workers=0", "val_dataloader.persistent_workers=True"]
    message = "val_dataloader has persistent_workers=True, but num_workers=0: set"
    refuse_training(tmp_path, message, cfg_options=options)
    for launcher, variable in (("pytorch", "RANK"), ("slurm", "SLURM_PROCID")):
        monkeypatch.delenv(variable, raising=False)
        message = f"--launcher {launcher} needs .* {variable} is not set: start the command"
        refuse_training(tmp_path, message, launcher=launcher)


def test_data_that_are_missing_are_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"The annotation file /nowhere/.*train2017.json does not exist"):
        training.train(MAIN, work_dir=tmp_path, cfg_options=["train_dataloader.dataset.data_root=/nowhere"])
    for data in (dict(type="Own"), dict(type="Own", data_root="s3://bucket", ann_file="a.json")):
        need_annotation_files(Config(dict(train_dataloader=dict(dataset=data))), "train_dataloader")


def test_resuming_does_not_begin_with_the_weights_of_the_config(trained, people, monkeypatch):
    """And SIGTERM has its handler again after a training that failed."""
    folder, _ = trained
    started, handler = [], signal.getsignal(signal.SIGTERM)

    def fail(runner):
        started.append((runner._load_from, runner._resume))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise UserError("diverged")

    monkeypatch.setattr(Runner, "train", fail)
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    options = [f"load_from={folder}/work/epoch_1.pth", *NO_WORKERS]
    for resume, expected in ((True, None), (False, f"{folder}/work/epoch_1.pth")):
        with pytest.raises(UserError, match="diverged"):
            training.train(TINY, work_dir=folder / "again", resume=resume, cfg_options=options)
        assert started.pop() == (expected, resume)
        assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_amp_is_taken(people, tmp_path):
    options = ["--work-dir", "amp", "--amp", "--cfg-options", *SMALL]
    succeed(start(*TFPOSE, "train", TINY, *options, cwd=tmp_path, SYNTHETIC_ROOT=people))
    assert "AmpOptimWrapper" in next((tmp_path / "amp").glob("*/*.log")).read_text()


@pytest.mark.slow
def test_detected_boxes(trained, people):
    """Test as the main config does: boxes of a detector, annotations only for the metric."""
    folder, _ = trained
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    config = folder / "boxes.py"  # PCK wants annotations with the boxes
    config.write_text(f"_base_ = {str(TINY)!r}\ntest_evaluator = [dict(type='CocoMetric')]\n")
    command = [*TFPOSE, "test", config, "work/epoch_1.pth", "--out", "boxes/metrics.json", "--cfg-options"]
    succeed(start(*command, "test_dataloader.dataset.bbox_file=boxes.json", cwd=folder, SYNTHETIC_ROOT=people))
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
def test_missing_files_and_a_diverged_model_are_named(trained, people, tmp_path):
    """COCO's evaluation would give a diverged model an AP of 1."""
    folder, _ = trained
    checkpoint = torch.load(folder / "work/epoch_1.pth", map_location="cpu")
    checkpoint["state_dict"]["head.reg_branches.1.layers.2.bias"][0] = float("nan")
    torch.save(checkpoint, folder / "diverged.pth")
    for config, weights, data, message in (
        (TINY, "nowhere.pth", people, "The checkpoint nowhere.pth does not exist"),
        ("nowhere.py", "work/epoch_1.pth", people, "The config nowhere.py does not exist"),
        (TINY, "work/epoch_1.pth", tmp_path, "does not exist: point the config's data_root to the data"),
        (TINY, "diverged.pth", people, "The model must predict finite coordinates"),
    ):
        process = start(*TFPOSE, "test", config, weights, "--out", "no.json", cwd=folder, SYNTHETIC_ROOT=data)
        assert process.returncode == 2
        assert process.stderr.splitlines()[-1].startswith("error: ")
        assert message in process.stderr.splitlines()[-1]
        assert not (folder / "no.json").exists()


@pytest.mark.slow
def test_images_that_are_missing_or_cut_are_named(people, tmp_path):
    shutil.copytree(people, tmp_path / "people")
    image = tmp_path / "people/train/000000000004.jpg"
    image.write_bytes(image.read_bytes()[:20])
    process = mim("train", "--work-dir", "work", cwd=tmp_path, data=tmp_path / "people")
    assert process.returncode != 0
    assert "000000000004.jpg" in process.stderr
    assert "the pipeline must load it and give finite numbers, but has" in process.stderr
    image.unlink()
    log = succeed(mim("train", "--work-dir", "work", cwd=tmp_path, data=tmp_path / "people"))
    assert "1 of 9 images are missing, as '" in log
    assert "8 samples of 9 annotations are used" in log


@pytest.mark.slow
def test_tensorboard_beside_the_log_and_pictures_of_the_validation(people, tmp_path):
    """The line for a config, and the option, of docs/training.md."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^visualizer = .*$", page, re.M)
    (tmp_path / "mine.py").write_text(f"_base_ = {str(TINY)!r}\n{line}\n")
    hook = [f"default_hooks.visualization.{option}" for option in ("enable=True", "interval=1")]
    assert "--cfg-options " + hook[0] in page
    command = [*TFPOSE, "train", "mine.py", "--work-dir", "work", "--cfg-options", *SMALL, *hook]
    succeed(start(*command, cwd=tmp_path, SYNTHETIC_ROOT=people))
    (path,) = (tmp_path / "work").rglob("events.out.tfevents*")
    events = accumulator.EventAccumulator(str(path))
    events.Reload()
    assert {"loss_kpt_layer1", "loss_kpt", "loss_heatmap", "lr", "coco/AP"} <= set(events.Tags()["scalars"])
    (scalars,) = (tmp_path / "work").rglob("scalars.json")
    assert "loss_kpt_layer1" in scalars.read_text()
    (pictures,) = (tmp_path / "work").rglob("vis_image")
    assert cv2.imread(str(next(pictures.iterdir()))).std() > 5
