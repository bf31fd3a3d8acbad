from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
import signal
import subprocess
import time

import cv2
import numpy as np
import pytest
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from tests.helpers.paths import TINY
from tests.helpers.processes import TFPOSE, mim, start, succeed
from tests.inference.test_sources import write_video
from tfpose_mm.errors import UserError
from tfpose_mm.inference.prediction import predict
from tfpose_mm.inference.predictor import Predictor
from tfpose_mm.inference.sources import find_sources, read_frames


def test_a_picture_for_each_image_and_a_video_that_plays(checkpoint, people, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(people / "val/000000000001.jpg", tmp_path / "other/000000000001.jpg")
    write_video(tmp_path / "clip.mp4", "mp4v", 5, brightness=20)
    inputs = [people / "val", tmp_path / "other", tmp_path / "clip.mp4"]
    names = {path.name for path in (people / "val").glob("*.jpg")}
    count = len(names)  # as batch size, so that both predictions have the same batch
    summary = predict(TINY, checkpoint, inputs, out=tmp_path / "out", threshold=0.0, smooth=True, batch_size=count)
    assert (summary.images, summary.persons) == (count + 1 + 5, count + 1 + 5)
    assert (summary.errors, summary.exit_status) == ([], 0)
    drawn = tmp_path / "out/drawn"
    assert {path.name for path in drawn.iterdir()} == {*names, "000000000001_2.jpg", "clip.mp4"}
    predict(TINY, checkpoint, people / "val", out=tmp_path / "none", threshold=1.1, batch_size=count)
    original = cv2.imread(str(people / "val/000000000001.jpg")).astype(int)
    pictures = [cv2.imread(str(folder / "000000000001.jpg")) for folder in (drawn, tmp_path / "none/drawn")]
    changed, unchanged = ((np.abs(picture - original).max(-1) > 60).mean() for picture in pictures)
    assert unchanged < 0.0005 < 0.001 < changed < 0.5
    records = json.loads((tmp_path / "out/predictions.json").read_text())["instance_info"][-5:]
    for index, record in enumerate(records):
        assert (record["frame_id"], record["instances"][0]["track_id"]) == (index, 1)
    written = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("out", "none")]
    assert written[1] == written[0][:count]  # the files have all keypoints
    (source,) = find_sources(drawn / "clip.mp4")
    means = [np.median(frame.image) for frame in read_frames([source], [])]
    assert (len(means), source.fps) == (5, 12)
    assert means == sorted(means)
    assert means[-1] - means[0] > 40


def test_images_without_persons_are_kept_and_unreadable_ones_are_named(checkpoint, people, tmp_path, capsys):
    inputs = sorted((people / "val").glob("*.jpg"))[:3]
    boxes = [dict(file_name=name, bbox=[5, 5, 45, 85], score=1) for name in (inputs[1].name, "elsewhere.jpg")]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    inputs.insert(2, tmp_path / "broken.jpg")
    summary = predict(TINY, checkpoint, inputs, out=tmp_path / "out", boxes=tmp_path / "boxes.json")
    assert "images/s" in capsys.readouterr().err
    assert (summary.exit_status, summary.images, summary.persons) == (3, 3, 1)
    assert summary.errors == [f"{inputs[2]} could not be read: it is not an image that OpenCV can decode."]
    assert str(summary).startswith("3 images or frames with 1 persons in ")
    assert str(summary).endswith("\n1 boxes of the file belong to no input.")
    records = json.loads((tmp_path / "out/predictions.json").read_text())["instance_info"]
    assert [len(record["instances"]) for record in records] == [0, 1, 0]
    assert len(list((tmp_path / "out/drawn").iterdir())) == 3


def test_wrong_options_write_nothing(checkpoint, people, tmp_path):
    for options, message in (
        (dict(batch_size=0), "batch-size must be 1 or more, but got 0"),
        (dict(boxes="nowhere.json"), r"The box file nowhere\.json does not exist"),
        (dict(detector="detector.py"), "A detector needs --detector and --detector-weights"),
        (dict(keypoint_scores="keypoint_map"), "are auto, heatmap, one, but got keypoint_map"),
    ):
        with pytest.raises(UserError, match=message):
            predict(TINY, checkpoint, people / "val", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    (tmp_path / "results.json").write_text("before")
    for out in (tmp_path, tmp_path / "results.json"):
        with pytest.raises(UserError, match="--out must be a folder without results"):
            predict(TINY, checkpoint, people / "val", out=out)
    assert (tmp_path / "results.json").read_text() == "before"


@pytest.mark.slow
@pytest.mark.parametrize("categories", [(1,), (0,), (7,), (3, 7)], ids=str)
def test_the_json_evaluates_to_what_mim_test_measures(checkpoint, people, tmp_path, categories, reliability):
    """The annotations are the predictions with errors of some pixels; two categories are two kinds of persons."""
    data = shutil.copytree(people, tmp_path / "people")
    annotations = data / "annotations/person_keypoints_val.json"
    content = json.loads(annotations.read_text())
    found = {entry.image_id: entry.keypoints[0] for entry in Predictor(TINY, checkpoint)(data / "val", annotations)}
    generator = np.random.default_rng(0)
    (person,) = content["categories"]
    content["categories"] = [dict(person, id=number, name=f"kind {number}") for number in categories]
    for row, annotation in enumerate(content["annotations"]):
        annotation["category_id"] = categories[row % len(categories)]
        points = np.reshape(annotation["keypoints"], (17, 3)).astype(float)
        points[:, :2] = found[annotation["image_id"]] + generator.normal(0, 3, (17, 2))
        annotation["keypoints"] = points.reshape(-1).tolist()
    annotations.write_text(json.dumps(content))
    command = [*TFPOSE, "predict", TINY.stem, checkpoint, data / "val", "--boxes", annotations, "--batch-size", 3]
    succeed(start(*command, "--out", tmp_path / "out", "--no-drawings", cwd=tmp_path))
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "out/results.json")), "keypoints")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    options = ["model.test_cfg.keypoint_scores=heatmap"]
    tested = mim("test", "--checkpoint", checkpoint, cwd=tmp_path, data=data, options=options)
    line = next(line for line in reversed(tested.stdout.splitlines()) if "coco/AP:" in line)
    measured = [float(text.split(":")[1].split()[0]) for text in line.split("coco/")[1:4]]
    assert evaluation.stats[:3] == pytest.approx(measured, abs=1e-4)
    assert 0.1 < measured[0] < 0.9
    written = {row["category_id"] for row in json.loads((tmp_path / "out/results.json").read_text())}
    assert written == set(categories)
    fault = "AP of results.json by COCO's evaluation, with the category ids 1, 0, 7, and 3 and 7"
    reliability.row("inputs", fault, 1, "the same AP as `mim test`")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_end_in_between_leaves_complete_files(error, checkpoint, people, tmp_path):
    calls = []

    def boxes(image):
        calls.append(1)
        if len(calls) == 3:
            raise error
        return [[0, 0, 40, 60]] * 2

    ends = contextlib.nullcontext() if error is KeyboardInterrupt else pytest.raises(error)
    with ends:
        summary = predict(TINY, checkpoint, people / "val", out=tmp_path, boxes=boxes, batch_size=1, drawings=False)
        assert (summary.exit_status, summary.images) == (130, 2)
        assert summary.errors == ["Interrupted: the files contain all results up to this point."]
    assert len(json.loads((tmp_path / "predictions.json").read_text())["instance_info"]) == 2
    assert {entry["image_id"] for entry in json.loads((tmp_path / "results.json").read_text())} == {1, 2}


@pytest.mark.slow
def test_ctrl_c_leaves_complete_records(checkpoint, people, tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(3000):
        (tmp_path / f"images/{index:05d}.jpg").symlink_to(people / "val/000000000001.jpg")
    command = [*TFPOSE, "predict", TINY.stem, str(checkpoint), "images", "--out", "out", "--no-drawings"]
    # a process in the background of a shell script ignores Ctrl-C, and so do its children
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    file, end = tmp_path / "out/predictions.json", time.monotonic() + 120
    while time.monotonic() < end and not (file.exists() and file.stat().st_size > 40000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors[-2000:]
    assert errors.splitlines()[-1] == "Interrupted: the files contain all results up to this point."
    images = [record["image"] for record in json.loads(file.read_text())["instance_info"]]
    assert 0 < len(images) < 3000
    assert images == [f"images/{index:05d}.jpg" for index in range(len(images))]
    assert len(json.loads((tmp_path / "out/results.json").read_text())) == len(images)
