"""Check the host packages: versions, operators, attention on every device, and a remedy for what fails.

Runs on a broken host too (from Python 3.10 on), where importing tfpose_mm raises the first problem instead.
"""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

from tfpose_mm import host

TOLERANCE = 1e-5  # of values of order one, in float32


class AttentionCheck(NamedTuple):
    """How attention did on one device: which path it took and how far from the reference, or why it failed."""

    device: str
    path: str
    difference: float | None
    failure: str = ""


def check_attention() -> list[AttentionCheck]:
    """Compare attention with mmcv's reference in plain torch, on the CPU and on every CUDA device.

    Returns:
        A record for each device.
    """
    import torch
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    from tfpose_mm.models.layers import attend, has_cuda_kernel

    shapes = ((12, 9), (6, 5), (3, 2))
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(3, sum(h * w for h, w in shapes), 8, 8, generator=generator)
    locations = torch.rand(3, 14, 8, 3, 4, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(3, 14, 8, 12, generator=generator).softmax(-1).view(3, 14, 8, 3, 4)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)

    checks = []
    for device in ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))):
        path = "gathered rows"
        if device != "cpu":
            path = "mmcv's CUDA kernel" if has_cuda_kernel() else "grid_sample"
        try:
            output = attend(value.to(device), shapes, locations.to(device), weights.to(device)).cpu()
        except RuntimeError as error:  # a driver or a build that does not fit the device
            checks.append(AttentionCheck(device, path, None, str(error).strip().split("\n")[0]))
        else:
            checks.append(AttentionCheck(device, path, (output - expected).abs().max().item()))
    return checks


def report_attention(check: AttentionCheck) -> list[host.Problem]:
    """Print how attention did on a device; return what is wrong with it."""
    if check.difference is None:
        print(f"{'attention':<15} {check.device}: {check.path}, FAILS: {check.failure}")
        fits = "run on the CPU with CUDA_VISIBLE_DEVICES= before the command, or install a torch and mmcv for this GPU"
        return [host.explain(check.failure) or host.Problem(f"attention fails on {check.device}", fits)]
    agrees = check.difference <= TOLERANCE
    print(
        f"{'attention':<15} {check.device}: {check.path}, largest difference from the reference "
        f"{check.difference:.1e} ({'agrees' if agrees else 'DISAGREES'})"
    )
    return [] if agrees else [host.Problem(f"attention on {check.device} differs from the reference", host.INSTALL)]


def main() -> int:
    """Print the report; 0 if everything works, else 1."""
    print(f"{'python':<15} {platform.python_version()}")
    for package in host.REPORTED:
        print(f"{package:<15} {host.installed_version(package) or 'not installed'}")

    print(f"{'mmcv._ext':<15} {'does not load' if host.check_imports(['mmcv._ext']) else 'loads'}")
    hazards = host.check_hazards()
    problems = host.check_versions() or host.check_imports()
    if not problems:
        checks = check_attention()
        problems = [problem for check in checks for problem in report_attention(check)]
        if any(check.path == "grid_sample" for check in checks):
            hazards.append(host.Problem("mmcv was built without CUDA: attention is slow on the GPU", host.CUDA_BUILD))
    for problem in problems:
        print(f"PROBLEM  {problem}")
    for hazard in hazards:
        print(f"NOTE     {hazard}")
    print("tfpose_mm works here." if not problems else "tfpose_mm does not work here yet: see the remedies above.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
