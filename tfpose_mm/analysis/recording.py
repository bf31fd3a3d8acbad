"""Record in one pass over annotated data what a TFPose attends to, and how near each layer comes to the annotation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from ..datasets.config_data import build_annotated_data, labelled_keypoints
from ..engine import load_model
from ..errors import UserError
from ..models.heads import is_tfpose_head
from ..models.heads.starts import Proposal
from ..models.layers import TransformerRecords, maps_to_tokens

EXAMPLES = 12  # persons, from the first, that are always recorded: those of Figure 10
THRESHOLDS = (0.2, 0.1, 0.05)  # of PCK, in longer sides of the box


@dataclass
class InstanceRecord:
    """Recorded attention and coordinates of one person. Positions are (x, y) in pixels of the input.

    Attributes:
        image: (h, w, 3) uint8 RGB, the model's input.
        target: (K, 2), annotated keypoints; the centre of the first pixel is 0.
        labelled: (K,), whether a keypoint is annotated.
        coordinates: (N_D + 1, K, 2), y_0 .. y_{N_D}.
        locations: (N_D, K, heads, L, P, 2), sampling points of pixel-to-query attention.
        weights: (N_D, K, heads, L, P), their attention weights; they sum to 1 over L and P.
        encoder_locations: (N_E, heads, L, P, 2), sampling points of pixel-to-pixel attention of the chosen pixel;
            ``None`` if no pixel was chosen or the model has no encoder.
        encoder_weights: (N_E, heads, L, P), their attention weights.
    """

    image: np.ndarray
    target: np.ndarray
    labelled: np.ndarray
    coordinates: np.ndarray
    locations: np.ndarray
    weights: np.ndarray
    encoder_locations: np.ndarray | None = None
    encoder_weights: np.ndarray | None = None


class Recording:
    """Attention and errors of a TFPose on N persons, without the flip test.

    Args:
        model: A top-down estimator with a ``TFPoseHead``, in evaluation mode.
        metainfo: MMPose's metainfo of the data set.
        chosen: Numbers of persons in the data set, from 0, whose records are kept beside those of the first 12.
        limit: Number of persons for the means; ``None`` takes all. Persons with a record are always included.
        pixel: (x, y) of the model's input, whose encoder attention is recorded; ``None`` records none.
        heatmaps: Whether to record the distances of the auxiliary heat maps, if the model has them.

    Attributes:
        instances: Records of the chosen and the first persons by number.
    """

    def __init__(
        self,
        model: nn.Module,
        metainfo: dict,
        chosen: Sequence[int] = (),
        limit: int | None = None,
        pixel: tuple[float, float] | None = None,
        heatmaps: bool = False,
    ) -> None:
        self.model, self.metainfo, self.limit, self.pixel = model, metainfo, limit, pixel
        self.kept = {*chosen, *range(EXAMPLES)}
        self.heatmaps = heatmaps and model.head.aux_branch is not None
        self.instances: dict[int, InstanceRecord] = {}
        self._attention: list[np.ndarray] = []  # (N_D, K, K), sum of each batch
        self._distances: dict[str, list[np.ndarray]] = defaultdict(list)

    @property
    def examples(self) -> list[InstanceRecord]:
        """Records of the first persons of the data set."""
        return [self.instances[number] for number in range(EXAMPLES) if number in self.instances]

    @property
    def query_attention(self) -> np.ndarray | None:
        """(N_D, K, K), mean over heads and persons; row i is what query i attends to. ``None`` without it."""
        return np.sum(self._attention, axis=0) / self.persons if self._attention else None

    @property
    def persons(self) -> int:
        """Number N of persons."""
        return self.distance().shape[1]

    def distance(self, kind: str = "layers") -> np.ndarray:
        """Distance from the annotation in longer sides of the person's box; NaN for keypoints that are not annotated.

        Args:
            kind: ``layers``: of y_0 .. y_{N_D}; ``heatmaps``: of the maxima of the auxiliary heat maps;
                ``from_heatmaps``: of y_0 .. y_{N_D} if y_0 is these maxima; ``mirrored``: of y_{N_D} from the left or
                right counterpart, infinite if that is not annotated.

        Returns:
            (N_D + 1, N, K), or (1, N, K) for ``heatmaps`` and ``mirrored``.
        """
        return np.concatenate(self._distances[kind], axis=1)

    def mean_distance(self, kind: str = "layers") -> np.ndarray:
        """(N_D + 1 or 1, K), mean of :meth:`distance`; NaN for a keypoint that is never annotated."""
        distances = self.distance(kind)
        counts = (~np.isnan(distances)).sum(1)
        return np.where(counts > 0, np.nansum(distances, 1) / np.maximum(counts, 1), np.nan)

    def pck(self, kind: str = "layers") -> np.ndarray:
        """(N_D + 1 or 1, 3), fraction of annotated keypoints below each of the thresholds."""
        distances = self.distance(kind)
        number = (~np.isnan(distances[0])).sum()
        return np.stack([(distances < threshold).sum((1, 2)) / number for threshold in THRESHOLDS], axis=-1)

    def diagnose(self) -> dict:
        """Compare the decoder with the auxiliary heat maps.

        Returns:
            For JSON: ``keypoints``, the number n of annotated keypoints; ``layers``, PCK of y_0 .. y_{N_D} at the three
            thresholds. With heat maps, else ``None``: ``heatmaps`` and ``from_heatmaps``, PCK as :meth:`pck`;
            ``only_heatmap`` and ``only_decoder``, the fractions of all n keypoints for which only one of the two has a
            distance below 0.2; ``mirrored``, the fraction of the ``only_heatmap`` keypoints for which the decoder is
            within 0.2 of the annotated counterpart, 0 without such keypoints.
        """
        number = int((~np.isnan(self.distance()[0])).sum())
        result: dict = dict(keypoints=number, layers=self.pck().tolist(), heatmaps=None, from_heatmaps=None)
        result.update(only_heatmap=None, only_decoder=None, mirrored=None)
        if self.heatmaps:
            result.update(heatmaps=self.pck("heatmaps")[0].tolist(), from_heatmaps=self.pck("from_heatmaps").tolist())
            decoder, heatmap = self.distance()[-1] < 0.2, self.distance("heatmaps")[0] < 0.2
            missed = int((heatmap & ~decoder).sum())
            mirrored = int((heatmap & ~decoder & (self.distance("mirrored")[0] < 0.2)).sum())
            result.update(only_heatmap=missed / number, only_decoder=float((decoder & ~heatmap).sum() / number))
            result["mirrored"] = mirrored / max(missed, 1)
        return result

    def wants(self, number: int) -> bool:
        """Whether a person is included."""
        return self.limit is None or number < self.limit or number in self.kept

    @torch.no_grad()
    def add(self, numbers: Sequence[int], batch: dict, feats: Sequence[Tensor] | None = None) -> None:
        """Record a batch.

        Args:
            numbers: Numbers of its B persons in the data set.
            batch: ``inputs`` and ``data_samples`` of the persons, as the data loader returns them.
            feats: The feature maps of the images, (B, C_l, h_l, w_l), if they are computed already.

        Raises:
            UserError: If the pixel is outside the input.
        """
        used = [index for index, number in enumerate(numbers) if self.wants(number)]
        if not used:
            return
        images, samples = ([batch[name][index] for index in used] for name in ("inputs", "data_samples"))
        size = np.array(images[0].shape[:0:-1])
        encoder = None
        if feats is None:
            inputs = self.model.data_preprocessor(dict(inputs=images, data_samples=samples))["inputs"]
            feats, encoder = self._extract(inputs, size)
        else:
            feats = [level[used].float() for level in feats]
        _, decoder = self.model.head.forward_with_records(feats)
        annotated = _Annotations(samples, size)
        self._add_distances(feats, _numpy(decoder.coordinates), annotated)
        attention = [layer.query_attention for layer in decoder.layers if layer.query_attention is not None]
        if attention:
            self._attention.append(np.stack([_numpy(layer.mean(1).sum(0)) for layer in attention]))
        for index, number in enumerate(numbers[position] for position in used):
            if number in self.kept:
                self.instances[number] = InstanceRecord(
                    np.ascontiguousarray(images[index].numpy().transpose(1, 2, 0)[..., ::-1]),
                    annotated.targets[index],
                    annotated.labelled[index],
                    _numpy(decoder.coordinates[:, index]) * (size - 1),
                    *_sampling(decoder, index, size),
                    *((None, None) if encoder is None else _sampling(encoder, index, size)),
                )

    def _extract(self, inputs: Tensor, size: np.ndarray) -> tuple[Sequence[Tensor], TransformerRecords | None]:
        """The feature maps, and what the chosen pixel attended to in the encoder: Q = 1."""
        model, pixel = self.model, self.pixel
        if pixel is None:
            return model.extract_feat(inputs), None
        if not ((np.array(pixel) >= 0) & (np.array(pixel) < size)).all():
            raise UserError(
                f"The pixel must be inside the input of {size[0]} x {size[1]}, but is {pixel}: choose another."
            )
        if not model.with_neck or not hasattr(model.neck, "forward_with_records"):
            return model.extract_feat(inputs), None
        feats, records = model.neck.forward_with_records(model.backbone(inputs))
        height, width = records.spatial_shapes[0]
        column, row = (np.array(pixel) + 0.5) * (width, height) // size
        token = int(row) * width + int(column)  # of the finest level
        layers = tuple(
            layer._replace(
                sampling_locations=layer.sampling_locations[:, token],
                attention_weights=layer.attention_weights[:, token],
            )
            for layer in records.layers
        )
        return feats, records._replace(layers=layers) if layers else None

    def _add_distances(self, feats: Sequence[Tensor], coordinates: np.ndarray, annotated: _Annotations) -> None:
        """Add the distances of y_0 .. y_{N_D}, (N_D + 1, B, K, 2) in label units, and of the heat maps."""
        found = dict(layers=annotated.distance(coordinates))
        if self.heatmaps:
            head, codec = self.model.head, self.model.head.decoder.heatmap_codec
            maps = head.project(feats)
            heatmaps = _numpy(head.aux_branch(maps[-1:]))
            maxima = np.concatenate([codec.decode(one)[0] for one in heatmaps]) / np.array(codec.input_size)
            start = torch.from_numpy(maxima).to(maps[0].device, torch.float32)
            refined = head.refine(*maps_to_tokens(maps), Proposal(start))
            flip = np.array(self.metainfo["flip_indices"])
            paired = annotated.labelled[:, flip] & (flip != np.arange(len(flip)))
            counterparts = np.where(paired[..., None], annotated.targets[:, flip], np.inf)
            found["heatmaps"] = annotated.distance(maxima[None])
            found["from_heatmaps"] = annotated.distance(_numpy(torch.cat([start[None], refined])))
            found["mirrored"] = annotated.distance(coordinates[-1:], counterparts)
        for kind, values in found.items():
            self._distances[kind].append(values)


class _Annotations:
    """Annotations of B persons in pixels of the input: targets (B, K, 2), labelled (B, K), sides (B,) of the boxes."""

    def __init__(self, samples: Sequence[PoseDataSample], size: np.ndarray) -> None:
        targets, sides = [], []
        for sample in samples:
            corner = sample.input_center - 0.5 * sample.input_scale
            # UDP maps the centres of the first and the last pixel of the box to those of the input
            targets.append((sample.gt_instances.keypoints[0] - corner) / sample.input_scale * (size - 1))
            box = sample.gt_instances.bboxes[0]
            sides.append(((box[2:] - box[:2]) * size / sample.input_scale).max())
        self.size, self.targets, self.sides = size, np.array(targets), np.array(sides)
        self.labelled = np.array([labelled_keypoints(sample.gt_instances) for sample in samples])

    def distance(self, coordinates: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """(..., B, K), distance in longer sides of the box, for label units (..., B, K, 2); NaN if not annotated."""
        points = coordinates * (self.size - 1)
        distance = np.linalg.norm(points - (self.targets if targets is None else targets), axis=-1)
        return np.where(self.labelled, distance / self.sides[:, None], np.nan)


def _sampling(records: TransformerRecords, index: int, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A person's sampling points in pixels of the input and their weights, in each layer."""
    locations = np.stack([_numpy(layer.sampling_locations[index]) for layer in records.layers])
    weights = np.stack([_numpy(layer.attention_weights[index]) for layer in records.layers])
    return locations * size - 0.5, weights  # (0, 0) and (1, 1) are the outer corners of the first and last pixel


def _numpy(value: Tensor) -> np.ndarray:
    return value.float().cpu().numpy()


def need_persons(number: int, chosen: Sequence[int]) -> None:
    """Raise a UserError if a chosen person is not among a number of persons."""
    wrong = [person for person in chosen if not 0 <= person < number]
    if wrong:
        raise UserError(f"The person number must be between 0 and {number - 1}, but is {wrong[0]}: choose another.")


def record(
    cfg: Config,
    checkpoint: str | Path,
    chosen: Sequence[int] = (0,),
    limit: int | None = None,
    pixel: tuple[float, float] | None = None,
    batch_size: int = 8,
    device: str = "cpu",
) -> Recording:
    """Run a TFPose over its config's test data, and record its attention; see :class:`Recording`.

    Args:
        cfg: Config of a top-down estimator with a ``TFPoseHead``, and with annotated test data.
        checkpoint: Its weights.
        chosen: Numbers of persons whose records are kept.
        limit: Number of persons for the means.
        pixel: Pixel whose encoder attention is recorded.
        batch_size: Number of persons in a batch.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The recording, without heat maps.

    Raises:
        UserError: If the head is another one, a chosen person does not exist, the pixel is outside the input, or the
            checkpoint does not fit.
    """
    if not is_tfpose_head(cfg.model.head):
        raise UserError(
            f"Recording attention needs a TFPoseHead, but the config has a {cfg.model.head.type}: use another."
        )
    data = build_annotated_data(cfg)
    need_persons(len(data), chosen)
    recording = Recording(load_model(cfg.model, checkpoint, device), data.metainfo, chosen, limit, pixel)
    numbers = list(filter(recording.wants, range(len(data))))
    for start in range(0, len(numbers), batch_size):
        part = numbers[start : start + batch_size]
        recording.add(part, pseudo_collate([data[number] for number in part]))
    return recording
