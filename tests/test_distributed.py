"""Train in several processes, as MMEngine's launchers do, on the CPU with gloo instead of NCCL."""

from __future__ import annotations

import copy
import datetime
import os

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.runner import set_random_seed
from mmpose.utils import register_all_modules
from torch import nn

from tests.helpers.models import TWO_STAGE, load_tiny, randomise
from tests.helpers.processes import free_port
from tfpose_mm.comparison.memory import labelled_batch

BATCH = 6
SGD = dict(optimizer=dict(type="SGD", lr=0.05))

HEADS = {"TFPose": {}, "without auxiliary branch": dict(aux_branch=False), "two-stage": TWO_STAGE}
pytestmark = pytest.mark.slow


def model_and_batch(kind):
    set_random_seed(0)
    cfg, model = load_tiny(model__head=HEADS[kind])
    randomise(model).train()  # an untrained model has no gradient in its decoder
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()  # its statistics would be those of half a batch
    images, samples = labelled_batch(cfg, BATCH, "cpu")
    # float64, because in float32 the rounding of some processors exceeds 1e-5
    return model.double(), (images.double(), [sample.to(torch.float64) for sample in samples])


def two_steps(model, module, images, samples):
    """DDP raises an error in the second step if a parameter had no gradient in the first."""
    optimiser = build_optim_wrapper(module, copy.deepcopy(SGD))
    for _ in range(2):
        losses, _ = module.parse_losses(model(images, samples, mode="loss"))
        optimiser.update_params(losses)
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def work(rank, port, kind, path):
    register_all_modules()
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, datetime.timedelta(seconds=120), world_size=2, rank=rank)
    model, (images, samples) = model_and_batch(kind)
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    parallel = MMDistributedDataParallel(model)
    result = two_steps(parallel, model, images[half], samples[half])
    if rank == 0:
        torch.save(result, path)
    dist.barrier()
    os._exit(0)  # torch's destructors may wait forever for a thread of gloo, which waits for the interpreter


@pytest.mark.parametrize("kind", HEADS)
def test_two_processes_with_half_the_batch_equal_one(kind, tmp_path):
    port = free_port()
    # forks of a process with the packages, see tests/helpers/preloaded.py
    arguments = (port, kind, tmp_path / "parameters.pth")
    torch.multiprocessing.start_processes(work, arguments, nprocs=2, start_method="forkserver")
    together = torch.load(tmp_path / "parameters.pth")
    model, (images, samples) = model_and_batch(kind)
    before = copy.deepcopy(model)
    alone = two_steps(model, model, images, samples)
    assert set(together) == set(alone)
    still = [name for name, parameter in before.named_parameters() if torch.equal(alone[name], parameter)]
    assert still == []
    for name, parameter in alone.items():
        torch.testing.assert_close(together[name], parameter, atol=1e-9, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
