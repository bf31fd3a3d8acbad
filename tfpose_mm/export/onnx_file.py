"""Write a graph as an ONNX file."""

from __future__ import annotations

import importlib
import inspect
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import UserError

if TYPE_CHECKING:
    import onnx

OPSET = 17  # the first with LayerNormalization; GridSample needs 16


def need_package(name: str) -> ModuleType:
    """Import a package that the export needs.

    Raises:
        UserError: If it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"The export needs {name}, but it cannot be imported ({error}): pip install onnx onnxruntime."
        ) from error


def write_onnx(graph: nn.Module, input_size: tuple[int, int], path: Path, metadata: dict, fp16: bool) -> None:
    """Trace a graph and write it with constants folded. The batch has any size.

    torch has two exporters. This is the one that traces (``dynamo=False``): it exists in all supported versions, takes
    seconds and writes fewer nodes after folding. ``docs/deploy.md`` compares them.

    Args:
        graph: The graph; its input is ``images``, its outputs are ``keypoints`` and ``scores``.
        input_size: Width and height of the input.
        path: The file.
        metadata: Written to the file; the values as JSON.
        fp16: Whether weights and most operators are in half precision. Input and outputs stay in float32.

    Raises:
        UserError: If onnx or onnxruntime is missing.
    """
    onnx, onnxruntime = need_package("onnx"), need_package("onnxruntime")
    width, height = input_size
    names = ("images", "keypoints", "scores")
    traced = path.with_name(path.name + ".traced")
    tracing: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    try:
        with warnings.catch_warnings():
            # Sizes become constants, which is right: only the batch changes. Parity is checked with other batches.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                (torch.zeros(2, 3, height, width),),
                str(traced),
                input_names=list(names[:1]),
                output_names=list(names[1:]),
                dynamic_axes={name: {0: "batch"} for name in names},
                opset_version=OPSET,
                **tracing,
            )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        )  # standard operators only
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(traced), options, providers=["CPUExecutionProvider"])
    finally:
        traced.unlink(missing_ok=True)
    model = onnx.load(str(path))
    if fp16:
        model = _to_half(model)
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.items()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Half precision in backbone and neck.

    The head stays in float32: it is small, and half precision would round its coordinates. ``GridSample`` does, too,
    because ONNX Runtime has it in no other precision on the CPU.
    """
    converter, wrapper = (need_package(f"onnxruntime.transformers.{name}") for name in ("float16", "onnx_model"))
    blocked = [*converter.DEFAULT_OP_BLOCK_LIST, "GridSample"]
    head = [node.name for node in model.graph.node if not node.name.startswith(("/backbone/", "/neck/"))]
    half = converter.convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked, node_block_list=head)
    wrapped = wrapper.OnnxModel(half)
    wrapped.topological_sort()
    return wrapped.model
