"""Check the installation: versions, mmcv's operators, deformable attention on every device; print fixes for problems.

It also runs where ``import tfpose_mm`` fails, and then lists all problems, not only the first.
"""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

from . import requirements as host

TOLERANCE = 1e-5  # for float32 values of about 1


class AttentionCheck(NamedTuple):
    """Deformable attention on one device.

    Attributes:
        device: ``"cpu"`` or ``"cuda:0"`` and so on.
        implementation: The implementation that ran.
        difference: Largest difference from the reference, ``None`` if it failed.
        failure: The first line of the error if it failed.
    """

    device: str
    implementation: str
    difference: float | None
    failure: str = ""


def check_attention() -> list[AttentionCheck]:
    """Compare deformable attention with mmcv's function in plain torch, on the CPU and on every CUDA device.

    Returns:
        A record for each device.
    """
    import torch
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    from .. import ops

    shapes = ((12, 9), (6, 5), (3, 2))
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(3, sum(h * w for h, w in shapes), 8, 8, generator=generator)
    locations = torch.rand(3, 14, 8, 3, 4, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(3, 14, 8, 12, generator=generator).softmax(-1).view(3, 14, 8, 3, 4)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)

    checks = []
    for device in ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))):
        implementation = ops.default_implementation(torch.device(device))
        try:
            moved = [tensor.to(device) for tensor in (value, locations, weights)]
            output = ops.multi_scale_deformable_attention(moved[0], shapes, moved[1], moved[2]).cpu()
        except RuntimeError as error:  # a driver or a build that does not fit the device
            checks.append(AttentionCheck(device, implementation, None, str(error).strip().split("\n")[0]))
        else:
            checks.append(AttentionCheck(device, implementation, (output - expected).abs().max().item()))
    return checks


def report_attention(check: AttentionCheck) -> list[host.Problem]:
    """Print the result on a device; return its problems."""
    if check.difference is None:
        print(f"{'attention':<17} {check.device}: {check.implementation}, FAILS: {check.failure}")
        fix = "run on the CPU with CUDA_VISIBLE_DEVICES= before the command, or install a torch and mmcv for this GPU"
        return [host.explain(check.failure) or host.Problem(f"attention fails on {check.device}", fix)]
    agrees = check.difference <= TOLERANCE
    print(
        f"{'attention':<17} {check.device}: {check.implementation}, largest difference from the reference "
        f"{check.difference:.1e} ({'agrees' if agrees else 'DISAGREES'})"
    )
    return [] if agrees else [host.Problem(f"attention on {check.device} differs from the reference", host.INSTALL)]


def main() -> int:
    """Print the report; return 0 if everything works, else 1."""
    print(f"{'python':<17} {platform.python_version()}")
    for package, version in host.list_versions().items():
        print(f"{package:<17} {version}")

    print(f"{'mmcv._ext':<17} {'does not load' if host.check_imports(['mmcv._ext']) else 'loads'}")
    hazards = host.check_hazards()
    problems = host.check_versions() or host.check_imports()
    if not problems:
        checks = check_attention()
        problems = [problem for check in checks for problem in report_attention(check)]
        if any(check.implementation == "grid_sample" for check in checks):
            hazards.append(host.Problem("mmcv was built without CUDA: attention is slow on the GPU", host.CUDA_BUILD))
    for problem in problems:
        print(f"PROBLEM  {problem}")
    for hazard in hazards:
        print(f"NOTE     {hazard}")
    print("tfpose_mm works here." if not problems else "tfpose_mm does not work here yet: see the fixes above.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
