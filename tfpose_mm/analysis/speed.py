"""How long a model takes, part by part, and how much memory."""

from __future__ import annotations

import gc
import multiprocessing
import platform
import time
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils import register_all_modules

PARTS = ("backbone", "neck", "head")


class Timing(NamedTuple):
    """Seconds of repeated runs.

    Attributes:
        median: The middle one.
        low: The first quartile.
        high: The third quartile.
    """

    median: float
    low: float
    high: float


class Memory(NamedTuple):
    """Peak memory in units of 2^20 bytes; on the CPU what the process held beyond images and libraries.

    Attributes:
        inference: Of a forward pass.
        training: Of a step with loss and gradients.
    """

    inference: float
    training: float


def describe_device(device: str) -> str:
    """What was measured on: processor or GPU, threads, versions.

    Args:
        device: ``"cpu"`` or a CUDA device.

    Returns:
        A line, as in ``"AMD EPYC 9V74 (2 threads), torch 2.1.2, mmcv 2.1.0"``.
    """
    if device == "cpu":
        name = f"{_processor()} ({torch.get_num_threads()} threads)"
    else:
        name = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"{name}, torch {torch.__version__}, mmcv {mmcv.__version__}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()  # an ARM Linux names no model


def time_parts(
    models: Sequence[BaseModel], shapes: Sequence[tuple[int, int]], batch: int, repeats: int, device: str
) -> list[dict[str, Timing]]:
    """Time backbone, neck and head of several models, in turns, so that a drift of the machine hits all alike.

    Args:
        models: Top-down estimators.
        shapes: (h, w) of the crops of each.
        batch: Images at a time.
        repeats: Timed rounds, after one that is not.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        For each model a timing for each of its parts and for ``"total"``, of the whole batch.
    """
    images = [torch.randn(batch, 3, *shape, device=device) for shape in shapes]
    seconds: list[dict[str, list[float]]] = [{} for _ in models]
    with torch.inference_mode():
        for repeat in range(repeats + 1):
            for model, batch_of, taken in zip(models, images, seconds):
                spent = _run_parts(model, batch_of, device)
                if repeat:
                    for part, value in {**spent, "total": sum(spent.values())}.items():
                        taken.setdefault(part, []).append(value)
    return [{part: summarise(values) for part, values in taken.items()} for taken in seconds]


def _run_parts(model: BaseModel, value: torch.Tensor, device: str) -> dict[str, float]:
    """Run a model part after part; the seconds of each."""
    spent = {}
    for part in PARTS:
        module = getattr(model, part, None)
        if module is None:
            continue
        run = module.forward if part == "head" else module
        value, spent[part] = _timed(run, value, device)
    return spent


def _timed(run: Callable, value: object, device: str) -> tuple[object, float]:
    _synchronise(device)
    start = time.perf_counter()
    result = run(value)
    _synchronise(device)
    return result, time.perf_counter() - start


def _synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def summarise(seconds: Sequence[float]) -> Timing:
    """Median and quartiles.

    Args:
        seconds: Of each run.

    Returns:
        The timing.
    """
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(median), float(low), float(high))


def labelled_batch(cfg: Config, batch: int, device: str) -> tuple[torch.Tensor, list[PoseDataSample]]:
    """Random images with the targets that a config's codec makes of random keypoints.

    Args:
        cfg: A config of a top-down estimator.
        batch: Number of images B.
        device: Where they live.

    Returns:
        Images (B, 3, h, w) and their samples.
    """
    width, height = cfg.codec.input_size
    joints = cfg.model.head.get("num_joints", cfg.model.head.get("out_channels"))
    codec = KEYPOINT_CODECS.build(cfg.codec)
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(batch):
        keypoints = rng.uniform(0, (width - 1, height - 1), (1, joints, 2)).astype(np.float32)
        encoded = codec.encode(keypoints, np.ones((1, joints), dtype=np.float32))
        sample = PoseDataSample()
        sample.gt_instance_labels = InstanceData(
            **{
                name: torch.from_numpy(np.asarray(encoded[key]))
                for key, name in codec.label_mapping_table.items()
                if key in encoded
            }
        )
        if "heatmaps" in encoded:
            sample.gt_fields = PixelData(heatmaps=torch.from_numpy(encoded["heatmaps"]))
        samples.append(sample.to(device))
    return torch.randn(batch, 3, height, width, device=device), samples


def measure_memory(cfg: Config, batch: int, device: str) -> Memory:
    """Peak memory of a forward pass and of a training step, each in a process of its own.

    Args:
        cfg: A config of a top-down estimator.
        batch: Images at a time.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        Both peaks.
    """
    context = multiprocessing.get_context("spawn")
    peaks = []
    for training in (False, True):
        with context.Pool(1) as pool:
            peaks.append(pool.apply(_peak, (cfg.to_dict(), batch, device, training)))
    return Memory(*peaks)


def _peak(cfg: dict, batch: int, device: str, training: bool) -> float:
    """Peak of this process, which does nothing else."""
    register_all_modules()  # MMPose's; this package's are registered by importing this module
    cfg = Config(cfg)
    images, samples = labelled_batch(cfg, batch, device)
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the peak of importing libraries
    model = MODELS.build(cfg.model).to(device).train(training)
    if training:
        losses = model.loss(images, samples)
        sum(value for key, value in losses.items() if "loss" in key).backward()
    else:
        with torch.inference_mode():
            model.head.forward(model.extract_feat(images))
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    """Kibibytes that Linux says this process holds (VmRSS), or has held at most (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])
