"""How layers compute: what depends on sizes once, what is large in pieces, and in one graph for ``torch.compile``."""

from __future__ import annotations

import functools
from typing import Any, Callable, Sequence, TypeVar

import torch
from mmengine.utils import digit_version
from torch import Tensor

TORCH = digit_version(torch.__version__)
Result = TypeVar("Result")

# under a dispatch mode tensors may be fakes, which nobody else must see; before torch 2.0 there is no such count
_dispatch_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
# torch 2.1, 2.2: the private one is known to the compiler already
is_compiling: Callable[[], bool] = getattr(getattr(torch, "compiler", None), "is_compiling", None) or getattr(
    torch._utils, "is_compiling", lambda: False
)


def plain_sizes(spatial_shapes: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Level sizes as a key of a cache.

    Args:
        spatial_shapes: (h, w) of each level, whatever holds them.

    Returns:
        The same as tuples of Python integers.
    """
    return tuple((int(h), int(w)) for h, w in spatial_shapes)


def infers_on_cpu(tensor: Tensor) -> bool:
    """Whether a layer may compute in another order, such as piece by piece, in which more remains in the cache.

    Args:
        tensor: The input.

    Returns:
        Whether it is on the CPU, no gradients are wanted and no graph is being traced.
    """
    return (
        tensor.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not is_compiling()
        and not torch.jit.is_tracing()
    )


def constant_of_sizes(function: Callable[..., Result]) -> Callable[..., Result]:
    """Decorate a function that makes tensors from sizes: each result is computed once for all.

    It is computed without gradients and outside of inference mode, so that training can use what inference has left.

    Args:
        function: A function of numbers, tuples and devices, given by position.

    Returns:
        The function with a cache. ``torch.compile``, which does not look into caches, sees the function itself, and so
        does a dispatch mode such as ``FakeTensorMode``.
    """

    @functools.lru_cache(maxsize=64)
    def cached(*sizes: Any) -> Result:  # noqa: ANN401 - whatever the function takes
        with torch.inference_mode(False), torch.no_grad():
            return function(*sizes)

    @functools.wraps(function)
    def call(*sizes: Any) -> Result:  # noqa: ANN401 - as above
        return function(*sizes) if is_compiling() or _dispatch_modes() else cached(*sizes)

    return call
