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
from mmengine.utils import import_modules_from_strings
from mmpose.datasets.transforms import GenerateTarget, PackPoseInputs
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils import register_all_modules

from ..datasets.config_data import predicted_keypoints
from ..errors import UserError


class Memory(NamedTuple):
    """Peak memory in MiB (2^20 bytes); on the CPU that of the process, without images and libraries."""

    inference: float  # of a forward pass
    training: float  # of an iteration with loss and gradients


def labelled_batch(cfg: Config, batch: int, device: str) -> tuple[torch.Tensor, list[PoseDataSample]]:
    """Random images (B, 3, h, w), and targets that a config's codec encodes from random keypoints."""
    (width, height), joints = cfg.codec.input_size, predicted_keypoints(cfg)
    encode, pack = GenerateTarget(encoder=cfg.codec), PackPoseInputs(meta_keys=())
    rng = np.random.default_rng(0)
    packed = []
    for _ in range(batch):
        keypoints = rng.uniform(0, (width - 1, height - 1), (1, joints, 2)).astype(np.float32)
        labels = dict(keypoints=keypoints, keypoints_visible=np.ones((1, joints), np.float32))
        image = rng.standard_normal((height, width, 3), dtype=np.float32)
        packed.append(pack(encode(dict(labels, img=image, dataset_keypoint_weights=np.ones(joints, np.float32)))))
    images = torch.stack([item["inputs"] for item in packed]).to(device)
    return images, [item["data_samples"].to(device) for item in packed]


def measure_memory(cfg: Config, batch: int, device: str) -> Memory:
    """Measure the peak memory of a forward pass, then of a training iteration, in a process that does nothing else.

    Args:
        cfg: A config of a top-down estimator. ``activation_checkpointing`` is used in training, as in MMEngine.
        batch: Batch size.
        device: ``"cpu"`` or a CUDA device.

    Raises:
        UserError: If Linux kills the process because memory runs out.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, cfg.to_dict(), batch, device).result()
        except BrokenProcessPool:
            raise UserError(
                f"Measuring the memory of batch size {batch} failed, because the process was killed, probably for lack "
                "of memory: choose a smaller batch size."
            ) from None


def _measure(cfg: dict, batch: int, device: str) -> Memory:
    register_all_modules()  # MMPose's; this package's are registered by importing this module
    import_modules_from_strings(**(cfg.get("custom_imports") or dict(imports=[])))
    cfg = Config(cfg)
    images, samples = labelled_batch(cfg, batch, device)
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak, which imports have raised

    def peak() -> float:  # that of training is higher
        if device != "cpu":
            return torch.cuda.max_memory_allocated(device) / 2**20
        return (_resident("VmHWM") - before) / 1024

    model = MODELS.build(cfg["model"]).to(device).eval()
    with torch.inference_mode():
        model.head.forward(model.extract_feat(images))
    inference = peak()
    turn_on_activation_checkpointing(model.train(), cfg.get("activation_checkpointing") or [])
    losses, _ = model.parse_losses(model.loss(images, samples))
    losses.backward()
    return Memory(inference, peak())


def _resident(field: str) -> int:
    """Memory of this process in kibibytes: now (VmRSS) or at its peak (VmHWM)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])
