"""Run an exported model without torch and MMPose: numpy, OpenCV and ONNX Runtime, or OpenVINO.

``tfpose export`` writes a model and, with ``--runner``, this file beside it. The file imports
nothing else of this package, so it can be copied::

    import cv2
    from onnx_runner import PoseRunner

    runner = PoseRunner("model.onnx")
    keypoints, scores = runner(cv2.imread("image.jpg"), [[10, 20, 110, 220]])  # x1, y1, x2, y2 of each person
"""

from __future__ import annotations

import functools
import importlib
import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

ENGINES = ("onnxruntime", "openvino")
LARGEST = 32766  # longest side of an image that OpenCV's warpAffine takes, in pixels
NEEDED = ("input_size", "mean", "std", "bgr_to_rgb", "padding", "use_udp", "keypoint_names")


class PoseRunner:
    """An exported top-down model that is called with an image and person boxes.

    Args:
        path: The ``.onnx`` file, or with ``engine="openvino"`` also an ``.xml`` file that OpenVINO wrote.
        engine: ``"onnxruntime"`` or ``"openvino"``.
        batch_size: Largest number of persons in a batch; for OpenVINO at least ``streams``.
        threads: Threads that the engine uses; ``None`` is the default of the engine.
        precision: ``"f32"``, ``"bf16"`` or ``"f16"``, for OpenVINO, which computes in bfloat16 by default where the
            processor has it. ONNX Runtime uses the precision of the file.
        providers: ONNX Runtime's execution providers, in order of preference.
        streams: Persons of a batch that OpenVINO predicts at the same time; the threads are divided among them, and
            OpenVINO predicts each person alone. ONNX Runtime predicts a batch with all threads.

    Attributes:
        metadata: What the file says about the model: ``input_size`` (width, height), ``mean``, ``std``, ``bgr_to_rgb``,
            ``padding`` (of the box), ``use_udp``, ``keypoint_names``, ``skeleton_links``, ``flip_pairs``, ``sigmas``,
            ``keypoint_scores`` (their kind), ``flip_test`` (whether it is in the model), ``checkpoint_sha256``,
            ``versions`` and more.

    Raises:
        ImportError: If OpenCV or the engine is not installed.
        ValueError: If the engine is unknown or cannot load the file, or the file was not written by
            ``tfpose export``.
    """

    def __init__(
        self,
        path: str | Path,
        engine: str = "onnxruntime",
        batch_size: int = 8,
        threads: int | None = None,
        precision: str = "f32",
        providers: Sequence[str] = ("CPUExecutionProvider",),
        streams: int = 1,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"The engine must be one of {', '.join(ENGINES)}, but got {engine!r}.")
        if batch_size < 1:
            raise ValueError(f"The batch size must be at least 1, but got {batch_size}.")
        if not 1 <= streams <= batch_size:
            raise ValueError(f"The number of streams must be 1 to the batch size, {batch_size}, but got {streams}.")
        try:
            if engine == "onnxruntime":
                self._infer, texts = start_onnxruntime(path, threads, providers)
            else:
                self._infer, texts = start_openvino(path, threads, precision, streams)
        except ImportError:
            raise
        except Exception as error:  # the engines have many exceptions of their own
            raise ValueError(
                f"{path} must be a model that {engine} can load, but got '{str(error).strip(' .')}': check the path, "
                "export it again, or install another version of the engine."
            ) from error
        missing = [name for name in NEEDED if name not in texts]
        if missing:
            raise ValueError(f"{path} has no metadata {', '.join(missing)}: give a file that tfpose export wrote.")
        self.metadata = {name: _parse(text) for name, text in texts.items()}
        self.batch_size = batch_size

    def __call__(
        self, image: np.ndarray, bboxes: Sequence[Sequence[float]] | np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the keypoints of persons in an image.

        Args:
            image: (H, W, 3) uint8, BGR as from ``cv2.imread``.
            bboxes: (P, 4), x1, y1, x2, y2 of each person in pixels; further columns, such as a score, are ignored.
                ``None`` is one box, the whole image.

        Returns:
            Keypoints (P, K, 2), (x, y) in pixels of the image; and scores (P, K), both float32.

        Raises:
            ValueError: If image or boxes have another shape or type, or a box is not finite or has no area.
        """
        import numpy as np

        if getattr(image, "ndim", None) != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            got = "no array" if not isinstance(image, np.ndarray) else f"{image.shape} {image.dtype}"
            raise ValueError(f"The image must be (H, W, 3) uint8, BGR as from cv2.imread, but got {got}.")
        if max(image.shape[:2]) > LARGEST:
            raise ValueError(f"No side of the image may be longer than {LARGEST} pixels, but it is {image.shape[:2]}.")
        if bboxes is None:
            bboxes = [[0, 0, image.shape[1], image.shape[0]]]
        boxes = _check_boxes(np.asarray(bboxes, dtype=np.float32))
        crops = [self._crop(image, box) for box in boxes]
        keypoints = [np.zeros((0, len(self.metadata["keypoint_names"]), 2), np.float32)]
        scores = [keypoints[0][..., 0]]
        for start in range(0, len(crops), self.batch_size):
            inputs = np.stack([pixels for pixels, _, _ in crops[start : start + self.batch_size]])
            predicted, predicted_scores = self._infer(inputs)
            keypoints.append(predicted)
            scores.append(predicted_scores)
        centers = np.array([center for _, center, _ in crops], np.float32).reshape(-1, 1, 2)
        scales = np.array([scale for _, _, scale in crops], np.float32).reshape(-1, 1, 2)
        input_size = np.array(self.metadata["input_size"], np.float32)
        keypoints = np.concatenate(keypoints) / input_size * scales + centers - 0.5 * scales
        return keypoints.astype(np.float32), np.concatenate(scores)

    def _crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cut a person out as MMPose does: normalised pixels (3, h, w), and centre and size of the enlarged box."""
        import cv2
        import numpy as np

        width, height = self.metadata["input_size"]
        center = (box[:2] + box[2:]) * 0.5
        box_width, box_height = (box[2:] - box[:2]) * np.float32(self.metadata["padding"])
        ratio = width / height
        scale = (box_width, box_width / ratio) if box_width > box_height * ratio else (box_height * ratio, box_height)
        scale = np.array(scale, np.float32)

        matrix = _warp_matrix(center, scale, (width, height), self.metadata["use_udp"])
        pixels = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        if self.metadata["bgr_to_rgb"]:
            pixels = pixels[..., ::-1]
        mean, std = (np.array(self.metadata[name], np.float32) for name in ("mean", "std"))
        return ((pixels - mean) / std).transpose(2, 0, 1), center, scale


def _warp_matrix(center: np.ndarray, scale: np.ndarray, size: tuple[int, int], use_udp: bool) -> np.ndarray:
    """From pixels of the image to pixels of the crop, (2, 3), with the roundings of MMPose.

    UDP maps the centres of the first and last pixels of the box to those of the crop. Otherwise edges map to edges.
    """
    import cv2
    import numpy as np

    if use_udp:
        matrix = np.zeros((2, 3), np.float32)
        for axis in range(2):  # with scalars, whose precision depends on the version of numpy, as in MMPose
            matrix[axis, axis] = (size[axis] - 1) / scale[axis]
            matrix[axis, 2] = (size[axis] - 1) / scale[axis] * (-0.5 * (2 * center[axis]) + 0.5 * scale[axis])
        return matrix
    half, crop = 0.5 * scale[0], (0.5 * size[0], 0.5 * size[1])
    source = [center, (center[0] - half, center[1]), (center[0] - half, center[1] + half)]
    target = [crop, (0, crop[1]), (0, crop[1] + crop[0])]
    return cv2.getAffineTransform(np.array(source, np.float32), np.array(target, np.float32))


def _check_boxes(boxes: np.ndarray) -> np.ndarray:
    import numpy as np

    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(f"The boxes must be (P, 4): x1, y1, x2, y2 of each person, but got {boxes.shape}.")
    boxes = boxes[:, :4]
    wrong = ~np.isfinite(boxes).all(1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if wrong.any():
        index = int(wrong.argmax())
        raise ValueError(f"A box must have x1 < x2 and y1 < y2, but box {index} is {boxes[index].tolist()}.")
    return boxes


def _parse(text: str) -> Any:  # noqa: ANN401 - JSON has values of any type
    """The value of a JSON text; other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _load(name: str) -> Any:  # noqa: ANN401 - a module
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"This needs {name}, but it cannot be imported ({error}): pip install {name}.") from error


def start_onnxruntime(
    path: str | Path, threads: int | None, providers: Sequence[str]
) -> tuple[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], dict[str, str]]:
    """Load a model into ONNX Runtime.

    Args:
        path: The ``.onnx`` file.
        threads: See :class:`PoseRunner`.
        providers: See :class:`PoseRunner`.

    Returns:
        A function from normalised crops (B, 3, h, w) to keypoints (B, K, 2) in pixels of the crop and scores (B, K),
        all float32; and the metadata of the file.

    Raises:
        ImportError: If ONNX Runtime is not installed.
    """
    onnxruntime = _load("onnxruntime")
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    name = session.get_inputs()[0].name
    texts = session.get_modelmeta().custom_metadata_map
    return lambda batch: tuple(session.run(["keypoints", "scores"], {name: batch})), texts


@functools.cache
def openvino_core() -> Any:  # noqa: ANN401 - openvino.Core
    """Return the ``openvino.Core`` that all models of this process share; it is kept until the process ends.

    Each ``Core`` sets a signal stack when it first uses the CPU, and sets the stack of the one before when it is
    deleted. So after two of them are deleted in the order of their creation, or one in another thread, the stack is
    memory that is freed, and the next signal that Python handles, such as Ctrl-C, ends the process with a segmentation
    fault (seen with OpenVINO 2026.4).

    Raises:
        ImportError: If OpenVINO is not installed.
    """
    return _load("openvino").Core()


def start_openvino(
    path: str | Path, threads: int | None, precision: str, streams: int
) -> tuple[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], dict[str, str]]:
    """Load a model into OpenVINO. It predicts the crops of a batch one by one, ``streams`` of them at the same time.

    Args:
        path: The ``.onnx`` or ``.xml`` file.
        threads: See :class:`PoseRunner`.
        precision: See :class:`PoseRunner`.
        streams: See :class:`PoseRunner`.

    Returns:
        As :func:`start_onnxruntime`.

    Raises:
        ImportError: If OpenVINO is not installed.
    """
    import numpy as np

    core = openvino_core()
    model = core.read_model(str(path))
    model.reshape([1, *(size.get_length() for size in list(model.input(0).partial_shape)[1:])])
    _use_embedding_bags(model)
    options = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": streams}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(model, "CPU", options)
    # no AsyncInferQueue: its callback may still need Python when the process ends, and then aborts it
    requests = [compiled.create_infer_request() for _ in range(streams)]
    lock = threading.Lock()  # one call at a time uses the requests

    def infer(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = []
        with lock:
            for index in range(len(batch) + streams):
                request = requests[index % streams]
                if 0 <= index - streams < len(batch):  # the person that this request has predicted
                    request.wait()
                    outputs.append([request.get_tensor(name).data.copy() for name in ("keypoints", "scores")])
                if index < len(batch):
                    request.start_async({0: batch[index : index + 1]})
        keypoints, scores = zip(*outputs)
        return np.concatenate(keypoints), np.concatenate(scores)

    texts = {}
    if model.has_rt_info(["framework"]):
        for name, value in model.get_rt_info(["framework"]).value.items():
            texts[name] = str(getattr(value, "value", value))
    return infer, texts


def _use_embedding_bags(model: Any) -> int:  # noqa: ANN401 - openvino.Model
    """Replace weighted sums of gathered rows, ``MatMul(weights, Gather(table, rows))``, by one operator of OpenVINO.

    Deformable attention that was exported with ``--attention gather`` has such sums. ``EmbeddingBagPackedSum`` does not
    write the gathered rows to memory.

    Args:
        model: The model, with static shapes; it is changed.

    Returns:
        The number of replaced sums.
    """
    ops = _load("openvino.opset13")

    count = 0
    for product in model.get_ordered_ops():
        if product.get_type_name() != "MatMul" or any(product.get_attributes().values()):
            continue
        weights, gather = product.input_value(0), product.input_value(1).get_node()
        if gather.get_type_name() != "Gather" or any(gather.get_attributes().values()):
            continue
        table, rows, axis = gather.input_values()
        if not all(value.partial_shape.is_static for value in (table, rows, weights)) or len(table.shape) != 2:
            continue
        is_first = axis.get_node().get_type_name() == "Constant" and not axis.get_node().data.any()
        if not is_first or list(weights.shape) != [*rows.shape[:-1], 1, rows.shape[-1]]:
            continue
        shape, bags = list(product.output(0).shape), [-1, rows.shape[-1]]
        sums = ops.embedding_bag_packed_sum(table, ops.reshape(rows, bags, False), ops.reshape(weights, bags, False))
        product.output(0).replace(ops.reshape(sums, shape, False).output(0))
        count += 1
    return count
