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
from torch import Tensor, nn

from ..datasets.config_data import build_annotated_data, labelled_keypoints, need_annotations
from ..engine import load_model
from ..errors import UserError
from ..models.heads import is_tfpose_head
from ..models.heads.starts import Proposal
from ..models.layers import maps_to_tokens

EXAMPLES = 12  # persons, from the first, that are always recorded: those of Figure 10
THRESHOLDS = (0.2, 0.1, 0.05)  # of PCK, in longer sides of the box


@dataclass
class InstanceRecord:
    """Attention and coordinates of one person. Positions are (x, y) in pixels of the input, from the first centre."""

    image: np.ndarray  # (h, w, 3) uint8 RGB, the model's input
    target: np.ndarray  # (K, 2), annotated keypoints
    labelled: np.ndarray  # (K,), whether a keypoint is annotated
    coordinates: np.ndarray  # (N_D + 1, K, 2), y_0 .. y_{N_D}
    locations: np.ndarray  # (N_D, K, heads, L, P, 2), sampling points of pixel-to-query attention
    weights: np.ndarray  # (N_D, K, heads, L, P), their attention weights; they sum to 1 over L and P


class Recording:
    """Attention and coordinates of a TFPose on N persons, without the flip test.

    Args:
        model: A top-down estimator with a ``TFPoseHead``, in evaluation mode.
        metainfo: MMPose's metainfo of the data set.
        chosen: Numbers of persons in the data set, from 0, whose records are kept beside those of the first 12.
        heatmaps: Whether to record the maxima of the auxiliary heat maps, if the model has them.

    Attributes:
        instances: Records of the chosen and the first persons by number.
    """

    def __init__(self, model: nn.Module, metainfo: dict, chosen: Sequence[int] = (), heatmaps: bool = False) -> None:
        self.model, self.metainfo = model, metainfo
        self.kept = {*chosen, *range(EXAMPLES)}
        self.heatmaps = heatmaps and model.head.aux_branch is not None
        self.instances: dict[int, InstanceRecord] = {}
        self._attention: list[np.ndarray] = []  # (N_D, K, K), sum of each batch
        self._points: dict[str, list[np.ndarray]] = defaultdict(list)  # (N_D + 1 or 1, B, K, 2) of each batch, pixels
        self._targets: list[np.ndarray] = []  # (K, 2) of each person, in pixels of the input
        self._labelled: list[np.ndarray] = []  # (K,)
        self._sides: list[float] = []  # the longer side of the box

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
        return len(self._sides)

    def distance(self, kind: str = "layers") -> np.ndarray:
        """Distance from the annotation in longer sides of the person's box; NaN for keypoints that are not annotated.

        Args:
            kind: ``layers``: of y_0 .. y_{N_D}; ``heatmaps``: of the maxima of the auxiliary heat maps;
                ``from_heatmaps``: of y_0 .. y_{N_D} if y_0 is these maxima; ``mirrored``: of y_{N_D} from the left or
                right counterpart, infinite if that is not annotated.

        Returns:
            (N_D + 1, N, K), or (1, N, K) for ``heatmaps`` and ``mirrored``.
        """
        targets, labelled = np.array(self._targets), np.array(self._labelled)
        points = np.concatenate(self._points["layers" if kind == "mirrored" else kind], axis=1)
        if kind == "mirrored":
            points, flip = points[-1:], np.array(self.metainfo["flip_indices"])
            paired = labelled[:, flip] & (flip != np.arange(len(flip)))
            targets = np.where(paired[..., None], targets[:, flip], np.inf)
        distance = np.linalg.norm(points - targets, axis=-1) / np.array(self._sides)[:, None]
        return np.where(labelled, distance, np.nan)

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
        number = int(np.sum(self._labelled))
        result: dict = dict(keypoints=number, layers=self.pck().tolist())
        if not self.heatmaps:
            return result | dict.fromkeys(("heatmaps", "from_heatmaps", "only_heatmap", "only_decoder", "mirrored"))
        decoder, heatmap, mirrored = (self.distance(kind)[-1] < 0.2 for kind in ("layers", "heatmaps", "mirrored"))
        missed = heatmap & ~decoder
        result.update(heatmaps=self.pck("heatmaps")[0].tolist(), from_heatmaps=self.pck("from_heatmaps").tolist())
        result.update(only_heatmap=missed.sum() / number, only_decoder=float((decoder & ~heatmap).sum() / number))
        return dict(result, mirrored=(missed & mirrored).sum() / max(missed.sum(), 1))

    @torch.no_grad()
    def add(self, numbers: Sequence[int], batch: dict, feats: Sequence[Tensor]) -> None:
        """Record a batch.

        Args:
            numbers: Numbers of its B persons in the data set.
            batch: ``inputs`` and ``data_samples`` of the persons, as the data loader returns them.
            feats: The feature maps of the images, (B, C_l, h_l, w_l).
        """
        size = np.array(batch["inputs"][0].shape[:0:-1])
        feats = [level.float() for level in feats]
        _, decoder = self.model.head.forward_with_records(feats)
        points = dict(layers=_numpy(decoder.coordinates))
        if self.heatmaps:
            points["heatmaps"], points["from_heatmaps"] = self._read_heatmaps(feats)
        for kind, coordinates in points.items():
            self._points[kind].append(coordinates * (size - 1))
        attention = [layer.query_attention for layer in decoder.layers if layer.query_attention is not None]
        if attention:
            self._attention.append(np.stack([_numpy(layer.mean(1).sum(0)) for layer in attention]))
        for index, (number, sample) in enumerate(zip(numbers, batch["data_samples"])):
            corner, box = sample.input_center - 0.5 * sample.input_scale, sample.gt_instances.bboxes[0]
            # UDP maps the centres of the first and the last pixel of the box to those of the input
            self._targets.append((sample.gt_instances.keypoints[0] - corner) / sample.input_scale * (size - 1))
            self._labelled.append(labelled_keypoints(sample.gt_instances))
            self._sides.append(((box[2:] - box[:2]) * size / sample.input_scale).max())
            if number in self.kept:
                locations = np.stack([_numpy(layer.sampling_locations[index]) for layer in decoder.layers])
                self.instances[number] = InstanceRecord(
                    image=np.ascontiguousarray(batch["inputs"][index].numpy().transpose(1, 2, 0)[..., ::-1]),
                    target=self._targets[-1],
                    labelled=self._labelled[-1],
                    coordinates=self._points["layers"][-1][:, index],
                    locations=locations * size - 0.5,  # (0, 0) is the outer corner of the first pixel
                    weights=np.stack([_numpy(layer.attention_weights[index]) for layer in decoder.layers]),
                )

    def _read_heatmaps(self, feats: Sequence[Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """The maxima, (1, B, K, 2), and y_0 .. y_{N_D} from there, (N_D + 1, B, K, 2), in label units."""
        head, codec = self.model.head, self.model.head.decoder.heatmap_codec
        maps = head.project(feats)
        heatmaps = _numpy(head.aux_branch(maps[-1:]))
        maxima = np.concatenate([codec.decode(one)[0] for one in heatmaps]) / np.array(codec.input_size)
        start = torch.from_numpy(maxima).to(maps[0].device, torch.float32)
        refined = head.refine(*maps_to_tokens(maps), Proposal(start))
        return maxima[None], _numpy(torch.cat([start[None], refined]))


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
    batch_size: int = 8,
    device: str = "cpu",
) -> Recording:
    """Run a TFPose over its config's test data, and record its attention; see :class:`Recording`.

    Args:
        cfg: Config of a top-down estimator with a ``TFPoseHead``, and with annotated test data.
        checkpoint: Its weights.
        chosen: Numbers of persons whose records are kept.
        limit: Number of persons for the means; ``None`` takes all. Persons with a record are always included.
        batch_size: Number of persons in a batch.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The recording, without heat maps.

    Raises:
        UserError: If the head is another one, a chosen person does not exist, or the checkpoint does not fit.
    """
    if not is_tfpose_head(cfg.model.head):
        raise UserError(
            f"Recording attention needs a TFPoseHead, but the config has a {cfg.model.head.type}: use another."
        )
    need_annotations(cfg)
    data = build_annotated_data(cfg)
    need_persons(len(data), chosen)
    model = load_model(cfg.model, checkpoint, device)
    recording = Recording(model, data.metainfo, chosen)
    numbers = [number for number in range(len(data)) if limit is None or number < limit or number in recording.kept]
    for start in range(0, len(numbers), batch_size):
        part = numbers[start : start + batch_size]
        batch = pseudo_collate([data[number] for number in part])
        with torch.no_grad():
            recording.add(part, batch, model.extract_feat(model.data_preprocessor(batch)["inputs"]))
    return recording
