"""Linear layers that run on oneDNN on the CPU."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

import torch
import torch.nn.functional as F
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import skip_init

from .compilation import TORCH, is_compiling

# torch 2.4 deprecates the one for the CPU alone
_is_autocast: Callable[[], bool] = (
    partial(torch.is_autocast_enabled, "cpu") if digit_version("2.4") <= TORCH else torch.is_autocast_cpu_enabled
)
# torch's own compiler is built upon this operator, which it has from 2.0 on
_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
# torch 2.0 reorders only what is in oneDNN's format already
_reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None) if digit_version("2.1") <= TORCH else None
FEW_ROWS = 64  # below, a call of oneDNN costs more than it saves
MANY_ROWS, WIDE = 2048, 512  # reordering pays for so many rows, or for an eighth of them with so many inputs
_GLOBAL_HOOKS = (torch.nn.modules.module._global_forward_hooks, torch.nn.modules.module._global_forward_pre_hooks)


class Linear(nn.Linear):
    """torch's ``Linear``, which on the CPU runs where its convolutions do: on oneDNN.

    torch multiplies float32 matrices with MKL, which gives processors that are not Intel's half of their width: on an
    AMD EPYC (Zen 5) products of oneDNN take half the time, and a transformer's layers are nothing but products beside
    a backbone whose convolutions run on oneDNN. Numbers differ by rounding. All else is torch's: other
    devices and precisions, autocast, a graph that is compiled or traced, a few rows only.

    The products have no second derivatives and no ``torch.func``; torch's ``FlopCounterMode`` does not count them, and
    ``quantize_dynamic`` leaves them as they are. ``torch.backends.mkldnn.flags(enabled=False)`` switches them off.
    """

    @classmethod
    def like(cls, layer: nn.Linear) -> Linear:
        """The layer with the same parameters.

        Args:
            layer: Where the parameters are taken from.

        Returns:
            A layer that shares them.
        """
        new = skip_init(cls, layer.in_features, layer.out_features, bias=layer.bias is not None)
        new.weight, new.bias = layer.weight, layer.bias
        return new

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add.

        Args:
            x: (..., in_features).

        Returns:
            (..., out_features).

        Raises:
            RuntimeError: By torch, if the last dimension is not that of the weight.
        """
        if not _suits_onednn(x, self.weight):
            return F.linear(x, self.weight, self.bias)
        rows = x.reshape(-1, self.in_features)
        if torch.is_grad_enabled():
            output = _Product.apply(rows, self.weight, self.bias)
        else:
            output = _multiply(rows, _reordered(self.weight, len(rows)), self.bias)
        return output.view(*x.shape[:-1], self.out_features)

    def prepared(self, x: Tensor, rows: int, relu: bool = False) -> Callable[[Tensor], Tensor]:
        """The layer for several inputs like one, without gradients: the weight is reordered once for all of them.

        Args:
            x: One of the inputs, (R, in_features).
            rows: Of all inputs together.
            relu: Whether a ReLU follows.

        Returns:
            A function (R, in_features) -> (R, out_features).
        """
        if not _suits_onednn(x, self.weight):
            return lambda part: self(part).relu_() if relu else self(part)
        weight = _reordered(self.weight, rows)
        return lambda part: _multiply(part, weight, self.bias, "relu" if relu else "none")


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether one may compute what a layer computes without calling it.

    Args:
        layer: Any layer.
        kind: Its class.

    Returns:
        Whether it is of that class and of none derived from it, no hook listens and its ``forward`` is its class's.
    """
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, *_GLOBAL_HOOKS)
    return type(layer) is kind and not any(hooks) and "forward" not in vars(layer)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        not (is_compiling() or torch.jit.is_tracing() or _is_autocast())
        and x.device.type == "cpu"
        and x.dtype is weight.dtype is torch.float32
        and x.shape[-1] == weight.shape[1]
        and x.numel() >= FEW_ROWS * x.shape[-1]
        and _product is not None
        and torch.backends.mkldnn.is_available()
        and torch._C._get_mkldnn_enabled()
    )


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """Rows times the transposed weight: (R, I), (O, I), (O,) to (R, O), whatever the strides."""
    return _product(rows, weight, bias, activation, [], "")


def _reordered(weight: Tensor, rows: int) -> Tensor:
    """The weight, in blocks as oneDNN wants it, if that is worth its while for a product with so many rows."""
    worth = rows >= MANY_ROWS or (rows >= MANY_ROWS // 8 and weight.shape[1] >= WIDE)
    return _reorder(weight, rows) if worth and _reorder is not None else weight


class _Product(torch.autograd.Function):
    """:func:`_multiply` with its gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401 - torch has no type
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, _reordered(weight, len(rows)), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401 - as above
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            _multiply(gradient, weight.t()) if of_rows else None,
            _multiply(gradient.t(), rows.t()) if of_weight else None,
            gradient.sum(0) if of_bias else None,
        )
