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
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

LARGEST = 32766  # longest side of an image that OpenCV's warpAffine takes, in pixels
NEEDED = ("input_size", "mean", "std", "bgr_to_rgb", "padding", "use_udp", "keypoint_names")

# normalised crops (B, 3, h, w) to keypoints (B, K, 2) in pixels of the crop and scores (B, K), all float32
Infer = Callable[[np.ndarray], Sequence[Any]]


class PoseRunner:
    """An exported top-down model that is called with an image and person boxes.

    Args:
        path: The ``.onnx`` file, or with ``engine="openvino"`` also an ``.xml`` file that OpenVINO wrote.
        engine: ``"onnxruntime"`` or ``"openvino"``.
        batch_size: Largest number of persons in a batch.
        threads: Threads that the engine uses; ``None`` is the default of the engine.
        precision: ``"f32"``, ``"bf16"`` or ``"f16"``, for OpenVINO, which computes in bfloat16 by default where the
            processor has it. ONNX Runtime uses the precision of the file.
        providers: ONNX Runtime's execution providers, in order of preference.
        hint: OpenVINO's performance hint: ``"LATENCY"`` predicts one person of a batch after the other with all
            threads, ``"THROUGHPUT"`` several at the same time. ONNX Runtime predicts a batch with all threads.

    Attributes:
        metadata: What the file says about the model: ``input_size`` (width, height), ``mean``, ``std``, ``bgr_to_rgb``,
            ``padding`` (of the box), ``use_udp``, ``keypoint_names``, ``skeleton_links``, ``flip_pairs``, ``sigmas``,
            ``keypoint_scores`` (their kind), ``flip_test`` (whether it is in the model), ``checkpoint_sha256``,
            ``versions`` and more.

    Raises:
        ImportError: If the engine is not installed.
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
        hint: str = "LATENCY",
    ) -> None:
        if engine not in ("onnxruntime", "openvino"):
            raise ValueError(f"The engine must be one of onnxruntime, openvino, but got {engine!r}.")
        if batch_size < 1:
            raise ValueError(f"The batch size must be at least 1, but got {batch_size}.")
        if hint not in ("LATENCY", "THROUGHPUT"):
            raise ValueError(f"The hint must be one of LATENCY, THROUGHPUT, but got {hint!r}.")
        try:
            if engine == "onnxruntime":
                self._infer, texts = start_onnxruntime(path, threads, providers)
            else:
                self._infer, texts = start_openvino(path, threads, precision, hint)
        except ImportError as error:
            fix = f"pip install {engine}"
            raise ImportError(f"This needs {engine}, but it cannot be imported ({error}): {fix}.") from error
        except Exception as error:  # the engines have many exceptions of their own
            raise ValueError(
                f"{path} must be a model that {engine} can load, but got '{str(error).strip(' .')}': check the path, "
                "export it again, or install another version of the engine."
            ) from error
        missing = [name for name in NEEDED if name not in texts]
        if missing:
            raise ValueError(f"{path} has no metadata {', '.join(missing)}: give a file that tfpose export wrote.")
        self.metadata = {name: json.loads(text) for name, text in texts.items()}
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
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            got = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else "no array"
            raise ValueError(f"The image must be (H, W, 3) uint8, BGR as from cv2.imread, but got {got}.")
        if max(image.shape[:2]) > LARGEST:
            raise ValueError(f"No side of the image may be longer than {LARGEST} pixels, but it is {image.shape[:2]}.")
        boxes = _check_boxes([[0, 0, image.shape[1], image.shape[0]]] if bboxes is None else bboxes)
        centers, scales = self._enlarge(boxes)
        crops = [self._crop(image, center, scale) for center, scale in zip(centers, scales)]
        keypoints = [np.zeros((0, len(self.metadata["keypoint_names"]), 2), np.float32)]
        scores = [keypoints[0][..., 0]]
        for start in range(0, len(crops), self.batch_size):
            predicted, predicted_scores = self._infer(np.stack(crops[start : start + self.batch_size]))
            keypoints.append(predicted)
            scores.append(predicted_scores)
        sizes, corners = scales[:, None], (centers - 0.5 * scales)[:, None]
        in_image = np.concatenate(keypoints) / np.array(self.metadata["input_size"], np.float32) * sizes + corners
        return in_image.astype(np.float32), np.concatenate(scores)

    def _enlarge(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre, and width and height of the padded box with the ratio of the input: (P, 2) each, as in MMPose."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).T * np.float32(self.metadata["padding"])
        ratio = self.metadata["input_size"][0] / self.metadata["input_size"][1]
        scales = np.stack([np.maximum(width, height * ratio), np.maximum(height, width / ratio)], axis=1)
        return (boxes[:, :2] + boxes[:, 2:]) * 0.5, scales.astype(np.float32)

    def _crop(self, image: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Cut a person out as MMPose does, (3, h, w) normalised."""
        width, height = self.metadata["input_size"]
        matrix = _warp_matrix(center, scale, (width, height), self.metadata["use_udp"])
        pixels = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        if self.metadata["bgr_to_rgb"]:
            pixels = pixels[..., ::-1]
        mean, std = (np.array(self.metadata[name], np.float32) for name in ("mean", "std"))
        return ((pixels - mean) / std).transpose(2, 0, 1)


def _warp_matrix(center: np.ndarray, scale: np.ndarray, size: tuple[int, int], use_udp: bool) -> np.ndarray:
    """From pixels of the image to pixels of the crop, (2, 3), with the roundings of MMPose.

    UDP maps the centres of the first and last pixels of the box to those of the crop. Otherwise edges map to edges.
    """
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


def _check_boxes(bboxes: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    boxes = np.asarray(bboxes, dtype=np.float32)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] < 4:
        raise ValueError(f"The boxes must be (P, 4): x1, y1, x2, y2 of each person, but got {boxes.shape}.")
    boxes = boxes[:, :4]
    wrong = ~np.isfinite(boxes).all(1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if wrong.any():
        index = int(wrong.argmax())
        raise ValueError(f"A box must have x1 < x2 and y1 < y2, but box {index} is {boxes[index].tolist()}.")
    return boxes


def start_onnxruntime(path: str | Path, threads: int | None, providers: Sequence[str]) -> tuple[Infer, dict[str, str]]:
    """Load a model into ONNX Runtime, see :class:`PoseRunner`; return its function and the metadata of the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    texts = session.get_modelmeta().custom_metadata_map
    return lambda batch: session.run(["keypoints", "scores"], {"images": batch}), texts


@functools.cache
def openvino_core() -> Any:  # noqa: ANN401 - openvino.Core
    """The ``openvino.Core`` that all models of this process share; it is kept until the process ends.

    OpenVINO 2026.4 leaves a freed signal stack when two cores are deleted in the order of their creation; the next
    signal, such as Ctrl-C, then ends the process with a segmentation fault.
    """
    import openvino

    return openvino.Core()


def start_openvino(path: str | Path, threads: int | None, precision: str, hint: str) -> tuple[Infer, dict[str, str]]:
    """As :func:`start_onnxruntime`, for OpenVINO; each person is a request, because fixed shapes are faster."""
    core = openvino_core()
    model = core.read_model(str(path))
    model.reshape([1, *(size.get_length() for size in list(model.input(0).partial_shape)[1:])])
    options: dict[str, Any] = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": precision}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(model, "CPU", options)

    def infer(batch: np.ndarray) -> list[np.ndarray]:
        # no AsyncInferQueue: its callback may still need Python when the process ends, and then aborts it
        requests = [compiled.create_infer_request() for _ in batch]
        for request, crop in zip(requests, batch):
            request.start_async({0: crop[None]})
        for request in requests:
            request.wait()
        return [np.concatenate([r.get_tensor(name).data for r in requests]) for name in ("keypoints", "scores")]

    info = model.get_rt_info(["framework"]).value if model.has_rt_info(["framework"]) else {}
    return infer, {name: str(getattr(value, "value", value)) for name, value in info.items()}
