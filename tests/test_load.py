"""Large data sets: the start of a training, its memory, and the memory of an evaluation."""

from __future__ import annotations

import gc
import json
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.helpers.processes import in_process_config

MIB = 2**20


def write_large(folder, source, images, per_image):
    """A data set of links to one synthetic image, with the same person again and again; returns the annotations."""
    content = json.loads((source / "annotations/person_keypoints_train.json").read_text())
    example = content["annotations"][0]
    example["segmentation"] = [example["segmentation"][0][:90]]
    image = next(item for item in content["images"] if item["id"] == example["image_id"])
    for name in ("train", "val", "annotations"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        for name in ("train", "val"):
            os.symlink(source / "train" / image["file_name"], folder / name / f"{number}.jpg")
    listed = [dict(image, id=number, file_name=f"{number}.jpg") for number in range(images)]
    shift = np.tile([1, 0, 0], len(example["keypoints"]) // 3)  # the next person is 1 pixel to the right
    annotations = [
        dict(
            example,
            id=number,
            image_id=number // per_image,
            keypoints=(np.array(example["keypoints"]) + number % per_image * shift).tolist(),
        )
        for number in range(images * per_image)
    ]
    for name in ("train", "val"):
        text = json.dumps(dict(content, images=listed, annotations=annotations))
        (folder / f"annotations/person_keypoints_{name}.json").write_text(text)
    return annotations


def unique_memory(process):
    """Memory in bytes that only this process has."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    fields = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return 1024 * (int(fields["Private_Dirty"]) + int(fields["Private_Clean"]))


class FirstIterations(Hook):
    """Remember when the first iteration begins, and the memory of the workers in some iterations; then stop."""

    ITERATIONS = 20

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.time, self.memory = time.monotonic(), []
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        self.memory.append(max(map(unique_memory, children)))
        if len(self.memory) == self.ITERATIONS:
            raise InterruptedError


@pytest.mark.slow
def test_a_training_on_many_instances_starts(people, tmp_path, monkeypatch, reliability):
    per_image = 3
    instances = reliability.times(long=150_000, short=3_000)
    write_large(tmp_path / "large", people, instances // per_image, per_image)
    monkeypatch.setenv("SYNTHETIC_ROOT", str(tmp_path / "large"))
    changes = {"train_dataloader.num_workers": 2, "val_evaluator": [], "val_dataloader": None, "val_cfg": None}
    cfg = in_process_config(tmp_path / "work", **changes)
    cfg.pop("val_evaluator")
    cfg.merge_from_dict({"val_evaluator": None, "test_evaluator": None, "test_dataloader": None, "test_cfg": None})
    began, first = time.monotonic(), FirstIterations()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(first)
    with pytest.raises(InterruptedError):
        runner.train()
    assert len(runner.train_dataloader.dataset) == instances
    seconds, memory = first.time - began, max(first.memory)
    assert seconds <= 60
    assert memory <= 512 * MIB
    outcome = (
        "the first iteration begins within 60 s; a worker has at most 512 MiB of its own in the first "
        f"{first.ITERATIONS} iterations"
    )
    measured = f"{instances:,} instances: {seconds:.0f} s, {memory / MIB:.0f} MiB"
    reliability.row("load", "a training on many instances, 2 workers", instances, outcome, measured=measured)


class Watch(Hook):
    """Memory, open files and tensors in the course of a test.

    The memory of the process grows by more than what is kept: malloc cannot return a large block to the system while a
    small one after it is in use. So two parts are counted, each from a quarter to three quarters of the iterations:
    what Python and NumPy allocate there and keep (``kept`` bytes for ``boxes`` boxes), and the tensors.
    """

    WARM_UP = 2  # iterations after the start of tracemalloc, which does not count what older iterations have left

    def __init__(self):
        self.memory, self.files, self.tensors = [], [], []
        self.kept = self.boxes = 0

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        count = len(runner.test_dataloader)
        first, last = count // 4, count * 3 // 4
        if batch_idx % 10 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
            self.files.append(len(os.listdir("/proc/self/fd")))
        if batch_idx == first:
            tracemalloc.start()
        if first + self.WARM_UP < batch_idx <= last:
            self.boxes += len(outputs)
        if batch_idx in (first + self.WARM_UP, last):
            gc.collect()
            self.kept = tracemalloc.get_traced_memory()[0] - self.kept
            self.tensors.append(sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects()))
        if batch_idx == last:
            tracemalloc.stop()


@pytest.mark.slow
def test_memory_and_open_files_in_an_evaluation_of_many_boxes(people, tmp_path, monkeypatch, reliability):
    """The metric keeps the prediction of each box until its end; nothing else may be kept."""
    per_image = 20
    boxes = reliability.times(long=100_000, short=3_200)
    annotations = write_large(tmp_path / "large", people, boxes // per_image, per_image)
    fields = ("image_id", "category_id", "bbox")
    detections = [
        dict({name: item[name] for name in fields}, score=1 - 0.01 * (item["id"] % per_image)) for item in annotations
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(detections))
    monkeypatch.setenv("SYNTHETIC_ROOT", str(tmp_path / "large"))
    changes = {
        "test_dataloader.dataset.bbox_file": str(tmp_path / "boxes.json"),
        "test_evaluator": [dict(type="CocoMetric")],
    }
    runner, watch = Runner.from_cfg(in_process_config(tmp_path / "work", **changes)), Watch()
    runner.register_hook(watch)
    metrics = runner.test()
    assert 0 <= metrics["coco/AP"] <= 1
    kept = watch.kept / watch.boxes
    assert 512 <= kept <= 2048  # 17 keypoints with scores are 204 bytes; the dicts and arrays around them 1 KiB
    assert watch.tensors[1] <= watch.tensors[0]
    start = len(watch.memory) // 5  # the first batches fill caches
    assert watch.memory[-1] - watch.memory[start] <= 256 * MIB + 8 * 1024 * boxes  # malloc, see Watch
    assert watch.files[-1] <= watch.files[start]
    outcome = (
        "no open file and no tensor is left; CocoMetric keeps at most 2 KiB per box until its end; the memory of the "
        "process grows by at most 256 MiB and 8 KiB per box"
    )
    process = f"the process {watch.memory[start] / MIB:.0f} to {watch.memory[-1] / MIB:.0f} MiB"
    measured = f"{boxes:,} boxes: {kept / 1024:.1f} KiB per box, {process}"
    reliability.row("load", "an evaluation of many boxes", boxes, outcome, measured=measured)
