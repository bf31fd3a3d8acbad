"""Peak memory of a model in inference and training."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils import register_all_modules

from ..errors import UserError


class Memory(NamedTuple):
    """Peak memory in MiB (2^20 bytes); on the CPU that of the process, without images and libraries.

    Attributes:
        inference: Peak of a forward pass.
        training: Peak of an iteration with loss and gradients.
    """

    inference: float
    training: float


def labelled_batch(cfg: Config, batch: int, device: str) -> tuple[torch.Tensor, list[PoseDataSample]]:
    """Make random images, and targets that a config's codec encodes from random keypoints.

    Args:
        cfg: A config of a top-down estimator.
        batch: Number of images B.
        device: Device of the tensors.

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
    """Measure the peak memory of a forward pass and of a training iteration, each in a separate process.

    Args:
        cfg: A config of a top-down estimator. ``activation_checkpointing`` is used in training, as in MMEngine.
        batch: Batch size.
        device: ``"cpu"`` or a CUDA device.

    Returns:
        Both peaks.

    Raises:
        UserError: If Linux kills the process because memory runs out.
    """
    context = multiprocessing.get_context("spawn")
    peaks = []
    for training in (False, True):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                peaks.append(pool.submit(_peak, cfg.to_dict(), batch, device, training).result())
            except BrokenProcessPool:
                raise UserError(
                    f"Measuring the memory of batch size {batch}{' in training' if training else ''} failed, because "
                    "the process was killed, probably for lack of memory: choose a smaller batch size."
                ) from None
    return Memory(*peaks)


def _peak(cfg: dict, batch: int, device: str, training: bool) -> float:
    """Measure the peak memory of this process, which does nothing else."""
    register_all_modules()  # MMPose's; this package's are registered by importing this module
    cfg = Config(cfg)
    images, samples = labelled_batch(cfg, batch, device)
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which imports have raised
    model = MODELS.build(cfg["model"]).to(device).train(training)
    if training:
        turn_on_activation_checkpointing(model, cfg.get("activation_checkpointing") or [])
        losses, _ = model.parse_losses(model.loss(images, samples))
        losses.backward()
    else:
        with torch.inference_mode():
            model.head.forward(model.extract_feat(images))
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return (_resident("VmHWM") - before) / 1024


def _resident(field: str) -> int:
    """Memory of this process in kibibytes: now (VmRSS) or at its peak (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])
