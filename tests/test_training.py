"""Run the main commands as users do: mim trains, tests and evaluates, from any folder, without PYTHONPATH."""

from __future__ import annotations

import json
import re
import signal

import cv2
import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.apis import MMPoseInferencer

from tests.helpers.paths import MAIN, ROOT, TINY
from tests.helpers.processes import NO_WORKERS, SMALL, TFPOSE, mim, start, succeed
from tfpose_mm import training
from tfpose_mm.datasets.config_data import need_annotation_files
from tfpose_mm.errors import UserError


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
    used = "9 samples of 9 annotations are used"
    for part in (used, "Epoch(train) [1][2/2]", "loss_kpt_layer1", "loss_heatmap", "coco/AP:"):
        assert part in log
    tested = succeed(mim("test", "--checkpoint", "work/epoch_1.pth", cwd=folder, data=people, itself=True))
    assert metrics_of(tested) == metrics_of(log)


@pytest.mark.slow
def test_tfpose_test_measures_what_mim_test_measures(trained, checkpoint, people):
    folder, log = trained
    command = [*TFPOSE, "test", TINY, checkpoint, "--out", "metrics.json", "--dump", "predictions.pkl"]
    command += ["--work-dir", "tested", "--cfg-options", *NO_WORKERS]
    shown = succeed(start(*command, cwd=folder, SYNTHETIC_ROOT=people))
    metrics = json.loads((folder / "metrics.json").read_text())
    logged = metrics_of(succeed(mim("test", "--checkpoint", checkpoint, cwd=folder, data=people)))
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


@pytest.mark.slow
def test_tfpose_train_trains_as_mim_train(trained, people):
    """The same seed gives the same losses; weights of a checkpoint and the scaled learning rate are taken."""
    folder, _ = trained
    train = [*TFPOSE, "train", TINY, "--cfg-options", *SMALL, "randomness.seed=5"]
    ours = succeed(start(*train, "--work-dir", "ours", cwd=folder, SYNTHETIC_ROOT=people))
    assert f"The training is complete. Log and checkpoints: {folder / 'ours'}" in ours
    succeed(mim("train", "--work-dir", "mims", cwd=folder, data=people, options=["randomness.seed=5"]))
    scaled = [*train, "--work-dir", "ours_scaled", "--auto-scale-lr", "--load-from", "ours/epoch_1.pth"]
    assert "Load checkpoint from ours/epoch_1.pth" in succeed(start(*scaled, cwd=folder, SYNTHETIC_ROOT=people))
    saved = [torch.load(folder / f"{name}/epoch_1.pth", map_location="cpu") for name in ("mims", "ours", "ours_scaled")]
    assert all(torch.equal(saved[1]["state_dict"][name], tensor) for name, tensor in saved[0]["state_dict"].items())
    rates = [checkpoint["optimizer"]["param_groups"][0]["lr"] for checkpoint in saved]
    assert rates[2] / rates[1] == pytest.approx(5 / Config.fromfile(str(TINY)).auto_scale_lr.base_batch_size)
    resumed = [*train, "train_cfg.max_epochs=2", "--work-dir", "ours", "--resume"]
    assert "Epoch(train) [1]" not in succeed(start(*resumed, cwd=folder, SYNTHETIC_ROOT=people))
    assert (folder / "ours/epoch_2.pth").is_file()


def test_a_training_that_cannot_work_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "get_device", lambda: "cpu")
    workers = ["val_dataloader.num_workers=0", "val_dataloader.persistent_workers=True"]
    nowhere = ["train_dataloader.dataset.data_root=/nowhere"]
    unscaled = {"auto_scale_lr": dict(_delete_=True, enable=False)}
    for variable in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    for config, options, message in (
        (TINY, dict(amp=True), "--amp needs a GPU, but torch finds only the device cpu"),
        (TINY, dict(auto_scale_lr=True, cfg_options=unscaled), "--auto-scale-lr needs auto_scale_lr.base_batch_size"),
        (TINY, dict(cfg_options=workers), "val_dataloader has persistent_workers=True, but num_workers=0: set"),
        (TINY, dict(launcher="pytorch"), "--launcher pytorch needs .* RANK is not set: start the command"),
        (TINY, dict(launcher="slurm"), "--launcher slurm needs .* SLURM_PROCID is not set: start the command"),
        (MAIN, dict(cfg_options=nowhere), r"The annotation file /nowhere/.*train2017.json does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            training.train(config, work_dir=tmp_path, **options)
    for data in (dict(type="Own"), dict(type="Own", data_root="s3://bucket", ann_file="a.json")):  # no local file
        need_annotation_files(Config(dict(train_dataloader=dict(dataset=data))), "train_dataloader")


def test_a_test_that_cannot_work_is_a_sentence(trained, people, tmp_path, monkeypatch):
    """COCO's evaluation would give a diverged model an AP of 1."""
    good, diverged, before = trained[0] / "work/epoch_1.pth", tmp_path / "diverged.pth", tmp_path / "before.json"
    checkpoint = torch.load(good, map_location="cpu")
    checkpoint["state_dict"]["head.reg_branches.1.layers.2.bias"][0] = float("nan")
    torch.save(checkpoint, diverged)
    before.write_text("before")
    new, options = tmp_path / "new.json", [*NO_WORKERS, "custom_hooks=[]"]  # also without the hooks of our configs
    for config, weights, data, out, message in (
        (TINY, "nowhere.pth", people, new, r"The checkpoint nowhere\.pth does not exist"),
        ("nowhere.py", good, people, new, r"The config nowhere\.py does not exist"),
        (TINY, good, tmp_path, new, "does not exist: point the config's data_root to the data"),
        (TINY, diverged, people, new, "The model must predict finite coordinates"),
        (TINY, good, people, before, r"before\.json exists already: delete it or choose another name"),
    ):
        monkeypatch.setenv("SYNTHETIC_ROOT", str(data))
        with pytest.raises(UserError, match=message):
            training.evaluate(config, weights, out=out, work_dir=tmp_path / "work", cfg_options=options)
    with pytest.raises(UserError, match=r"--dump writes a \.pkl file, but got new\.json"):
        training.evaluate(TINY, good, dump="new.json", work_dir=tmp_path / "work")
    assert not new.exists()
    assert before.read_text() == "before"


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


def test_detected_boxes(checkpoint, people, tmp_path, monkeypatch):
    """Test as the main config does: boxes of a detector, annotations only for the metric."""
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = Config.fromfile(str(TINY))
    cfg.test_evaluator = [dict(type="CocoMetric")]  # PCK wants annotations with the boxes
    cfg.test_dataloader.dataset.bbox_file = str(tmp_path / "boxes.json")
    out = tmp_path / "new/metrics.json"
    training.evaluate(cfg, checkpoint, out=out, work_dir=tmp_path, cfg_options=NO_WORKERS)
    metrics = json.loads(out.read_text())
    assert metrics["coco/AP"] >= 0
    assert metrics["boxes"] == str(tmp_path / "boxes.json")


def test_the_inferencer_of_mmpose_runs_it(checkpoint, people):
    inferencer = MMPoseInferencer(str(TINY), str(checkpoint), device="cpu", det_model="whole_image")
    result = next(inferencer(str(people / "val/000000000001.jpg")))
    (person,) = result["predictions"][0]
    assert len(person["keypoints"]) == 17
    assert person["keypoint_scores"] == [1.0] * 17


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
