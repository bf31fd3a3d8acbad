"""Check the installation: the command ``check-env``."""

from __future__ import annotations

import platform
from typing import NamedTuple

from .host import requirements as host

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

    from . import ops

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


class EnvironmentReport(NamedTuple):
    """What :func:`check_env` found.

    Attributes:
        lines: Versions, and the result on each device.
        problems: What does not work.
        hazards: What works, but may fail later.
    """

    lines: list[str]
    problems: list[host.Problem]
    hazards: list[host.Problem]

    def __str__(self) -> str:
        """All lines, and whether tfpose_mm works."""
        end = "tfpose_mm does not work here yet: see the fixes above." if self.problems else "tfpose_mm works here."
        problems = [f"PROBLEM  {problem}" for problem in self.problems]
        return "\n".join([*self.lines, *problems, *(f"NOTE     {hazard}" for hazard in self.hazards), end])

    @property
    def exit_status(self) -> int:
        """1 if there are problems, else 0."""
        return int(bool(self.problems))


def check_env() -> EnvironmentReport:
    """Check the installation, and print fixes for what does not work.

    It prints the versions, whether mmcv's operators load, and deformable attention on every device beside a reference.
    It also runs where import tfpose_mm fails, and then lists all problems, not only the first. The exit status is 1 if
    there are problems.

    Returns:
        The report.
    """
    lines = [f"{'python':<17} {platform.python_version()}"]
    lines += [f"{package:<17} {version}" for package, version in host.list_versions().items()]
    lines.append(f"{'mmcv._ext':<17} {'does not load' if host.check_imports(['mmcv._ext']) else 'loads'}")
    hazards = host.check_hazards()
    problems = host.check_versions() or host.check_imports()
    if not problems:
        checks = check_attention()
        lines += [_describe(check) for check in checks]
        problems = [problem for check in checks for problem in _problems(check)]
        if any(check.implementation == "grid_sample" for check in checks):
            hazards.append(host.Problem("mmcv was built without CUDA: attention is slow on the GPU", host.CUDA_BUILD))
    return EnvironmentReport(lines, problems, hazards)


def _describe(check: AttentionCheck) -> str:
    start = f"{'attention':<17} {check.device}: {check.implementation}, "
    if check.difference is None:
        return f"{start}FAILS: {check.failure}"
    agrees = "agrees" if check.difference <= TOLERANCE else "DISAGREES"
    return f"{start}largest difference from the reference {check.difference:.1e} ({agrees})"


def _problems(check: AttentionCheck) -> list[host.Problem]:
    if check.difference is None:
        fix = "run on the CPU with CUDA_VISIBLE_DEVICES= before the command, or install a torch and mmcv for this GPU"
        return [host.explain(check.failure) or host.Problem(f"attention fails on {check.device}", fix)]
    if check.difference <= TOLERANCE:
        return []
    return [host.Problem(f"attention on {check.device} differs from the reference", host.INSTALL)]
