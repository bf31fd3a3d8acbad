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

from .compilation import is_compiling

# torch 2.4 deprecates the one for the CPU alone
_is_autocast: Callable[[], bool] = (
    partial(torch.is_autocast_enabled, "cpu")
    if digit_version(torch.__version__) >= digit_version("2.4")
    else torch.is_autocast_cpu_enabled
)
# torch's own compiler is built upon this operator, which it has from 2.0 on
_product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
FEW_ROWS = 64  # below, a call of oneDNN costs more than it saves


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
            output = _multiply(rows, self.weight, self.bias)
        return output.view(*x.shape[:-1], self.out_features)


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


def _multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows times the transposed weight: (R, I), (O, I), (O,) to (R, O), whatever the strides."""
    return _product(rows, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """:func:`_multiply` with its gradients, which are products too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: ANN401 - torch has no type
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, weight, bias)

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
