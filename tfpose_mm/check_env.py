"""Check the installation: the command ``check-env``."""

from __future__ import annotations

import platform
from typing import NamedTuple

from .host import requirements as host

TOLERANCE = 1e-5  # for float32 values of about 1
CPU = "run on the CPU with CUDA_VISIBLE_DEVICES= before the command, or install a torch and mmcv for this GPU"


class EnvironmentReport(NamedTuple):
    """What :func:`check_env` found.

    Attributes:
        lines: Versions, and the result on each device.
        problems: What does not work.
    """

    lines: list[str]
    problems: list[host.Problem]

    def __str__(self) -> str:
        """All lines, and whether tfpose_mm works."""
        end = "tfpose_mm does not work here yet: see the fixes above." if self.problems else "tfpose_mm works here."
        return "\n".join([*self.lines, *(f"PROBLEM  {problem}" for problem in self.problems), end])

    @property
    def exit_status(self) -> int:
        """1 if there are problems, else 0."""
        return int(bool(self.problems))


def check_env() -> EnvironmentReport:
    """Check the installation, and print fixes for what does not work.

    It prints the versions, whether mmcv's operators load, and how much deformable attention differs from a reference on
    each device. It also runs if import tfpose_mm fails, and prints fixes. The exit status is 1 if there are problems.

    Returns:
        The report.
    """
    lines = [f"{'python':<17} {platform.python_version()}"]
    lines += [f"{package:<17} {version}" for package, version in host.list_versions().items()]
    lines.append(f"{'mmcv._ext':<17} {'does not load' if host.check_imports(['mmcv._ext']) else 'loads'}")
    problems = host.check_versions() or host.check_imports()
    if not problems:
        for line, problem in _check_attention():
            lines.append(f"{'attention':<17} {line}")
            problems += [problem] if problem else []
    return EnvironmentReport(lines, problems)


def _check_attention() -> list[tuple[str, host.Problem | None]]:
    """Compare deformable attention with mmcv's function in plain torch, on the CPU and on every CUDA device."""
    import torch
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    from . import ops

    shapes = ((12, 9), (6, 5), (3, 2))
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(3, sum(h * w for h, w in shapes), 8, 8, generator=generator)
    locations = torch.rand(3, 14, 8, 3, 4, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(3, 14, 8, 12, generator=generator).softmax(-1).view(3, 14, 8, 3, 4)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)

    checks: list[tuple[str, host.Problem | None]] = []
    for device in ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))):
        start = f"{device}: {ops.default_implementation(torch.device(device))}, "
        try:
            moved = [tensor.to(device) for tensor in (value, locations, weights)]
            output = ops.multi_scale_deformable_attention(moved[0], shapes, moved[1], moved[2]).cpu()
        except RuntimeError as error:  # a driver or a build that does not fit the device
            problem = host.explain(error) or host.Problem(f"attention fails on {device}", CPU)
            checks.append((f"{start}FAILS: {str(error).strip().splitlines()[0]}", problem))
            continue
        difference = (output - expected).abs().max().item()
        agrees = difference <= TOLERANCE
        line = f"{start}largest difference from the reference {difference:.1e} ({'agrees' if agrees else 'DISAGREES'})"
        problem = host.Problem(f"attention on {device} differs from the reference", host.INSTALL)
        checks.append((line, None if agrees else problem))
    return checks
