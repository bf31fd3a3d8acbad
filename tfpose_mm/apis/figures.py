"""Draw the paper's figures of a trained model, with the recorded arrays beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
from mmengine.config import Config

from ..utils import UserError, keypoint_names
from ..visualization import (
    draw_curves,
    draw_encoder_attention,
    draw_layer_errors,
    draw_qualitative,
    draw_query_attention,
    draw_refinement,
    draw_sampling_points,
    draw_skeleton_attention,
    draw_weighted_points,
)
from .attention import AttentionStudy, InstanceRecord, study_attention
from .training_log import read_curve

FACE = ("nose", "eye", "ear")
EXAMPLES = 12  # persons of Figure 10


def draw_figures(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    persons: Sequence[int] = (0,),
    keypoints: Sequence[str] | None = None,
    limit: int | None = None,
    pixel: tuple[float, float] | None = None,
    logs: dict[str, str] | None = None,
    metric: str = "coco/AP",
    device: str = "cpu",
) -> list[Path]:
    """Draw the figures of sections 4 and A of the paper for a trained TFPose, and how its layers refine keypoints.

    Args:
        cfg: Config with a ``TFPoseHead`` and annotated test data.
        checkpoint: Its weights.
        out: Folder for the pictures and for ``.npz`` files with the drawn arrays.
        persons: Numbers of the persons in the test data whose sampling points and refinement are drawn.
        keypoints: Keypoints whose attention weights are drawn (Figures 11 and 12). ``None`` takes the right shoulder
            and the right knee, or the first and last keypoint.
        limit: Number of persons for the means; ``None`` takes all. The given and the first 12 are always included.
        pixel: (x, y) of the model's input, whose attention in the encoder is drawn.
        logs: Folders of trainings by label, for the curves of Figure 5.
        metric: The metric of the curves.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The pictures.

    Raises:
        UserError: If an argument does not fit; see also :func:`study_attention`.
    """
    curves = [read_curve(label, folder, metric) for label, folder in (logs or {}).items()]
    study = study_attention(cfg, checkpoint, persons, EXAMPLES, limit, pixel, device=device)
    pictures = draw_study(study, out, persons, keypoints, pixel)
    if curves:
        path = Path(out) / "fig5_curves.png"
        draw_curves(curves, metric, path)
        values = {curve.name: np.array(sorted(curve.values.items())) for curve in curves}
        np.savez_compressed(path.with_suffix(".npz"), **values)
        pictures.insert(0, path)
    return pictures


def draw_study(
    study: AttentionStudy,
    out: str | Path,
    persons: Sequence[int],
    keypoints: Sequence[str] | None = None,
    pixel: tuple[float, float] | None = None,
) -> list[Path]:
    """Draw the figures of recorded attention.

    Args:
        study: The recorded attention.
        out: Folder for the pictures and for ``.npz`` files with the drawn arrays.
        persons: Numbers of the recorded persons, for the names of the files.
        keypoints: See :func:`draw_figures`.
        pixel: The recorded pixel.

    Returns:
        The pictures.

    Raises:
        UserError: If a keypoint does not exist.
    """
    names = keypoint_names(study.metainfo)
    shown = _choose(names, keypoints)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pictures = _Pictures(out)
    _draw_means(study, names, pictures)
    for number, record in zip(persons, study.instances):
        _draw_person(record, names, shown, pixel, f"person{number}", pictures)
    records = study.examples
    links, lower = study.metainfo["skeleton_links"], study.metainfo["lower_body_ids"]
    final = [record.coordinates[-1] for record in records]
    pictures.add(
        "fig10_qualitative",
        lambda path: draw_qualitative([record.image for record in records], final, links, lower, path),
        keypoints=np.array(final),
    )
    return pictures.paths


class _Pictures:
    """Write a picture and its arrays under one name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[Path] = []

    def add(self, name: str, draw: object, **arrays: np.ndarray) -> None:
        """Draw a picture, and save its arrays beside it."""
        path = self.folder / f"{name}.png"
        draw(path)
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        self.paths.append(path)


def _draw_means(study: AttentionStudy, names: Sequence[str], pictures: _Pictures) -> None:
    errors, correct = study.errors, study.correct
    pictures.add(
        "layer_errors",
        lambda path: draw_layer_errors(errors, correct, names, path),
        errors=errors,
        correct=correct,
        names=np.array(names),
    )
    attention = study.query_attention
    if attention is None:
        return
    pictures.add(
        "fig6_query_attention",
        lambda path: draw_query_attention(attention, names, path),
        attention=attention,
        names=np.array(names),
    )
    positions = example_skeleton(study.examples, symmetric_pairs(study.metainfo))
    for figure, pattern, pairs in (
        (8, "symmetric", symmetric_pairs(study.metainfo)),
        (9, "adjacent", [tuple(link) for link in study.metainfo["skeleton_links"]]),
    ):
        if pairs:
            ratios = [pattern_ratio(layer, pairs) for layer in attention]
            layer = int(np.argmax(ratios))
            pictures.add(
                f"fig{figure}_{pattern}_layer{layer + 1}",
                lambda path, layer=layer, pairs=pairs: draw_skeleton_attention(
                    attention[layer], positions, pairs, names, path
                ),
                attention=attention[layer],
                pairs=np.array(pairs),
                ratios=np.array(ratios),
            )


def _draw_person(
    record: InstanceRecord,
    names: Sequence[str],
    shown: Sequence[int],
    pixel: tuple[float, float] | None,
    prefix: str,
    pictures: _Pictures,
) -> None:
    body = body_keypoints(names)
    labels = [names[index] for index in body]
    # the finest level of the last layer, as in the paper
    points = record.locations[-1, body, :, 0].reshape(len(body), -1, 2)
    pictures.add(
        f"{prefix}_fig7_sampling_points",
        lambda path: draw_sampling_points(
            record.image, points, record.target[body], record.labelled[body], labels, path
        ),
        image=record.image,
        locations=points,
        target=record.target[body],
        labelled=record.labelled[body],
        names=np.array(labels),
    )
    for index in shown:
        target = record.target[index] if record.labelled[index] else None
        locations, weights = record.locations[-1, index], record.weights[-1, index]
        pictures.add(
            f"{prefix}_fig11_{names[index]}",
            lambda path, a=locations, b=weights, c=target: draw_weighted_points(record.image, a, b, c, path),
            image=record.image,
            locations=locations,
            weights=weights,
            target=record.target[index],
        )
    pictures.add(
        f"{prefix}_refinement",
        lambda path: draw_refinement(
            record.image, record.coordinates[:, body], record.target[body], record.labelled[body], labels, path
        ),
        image=record.image,
        coordinates=record.coordinates[:, body],
        target=record.target[body],
        labelled=record.labelled[body],
        names=np.array(labels),
    )
    if record.encoder_weights is not None:
        pictures.add(
            f"{prefix}_encoder",
            lambda path: draw_encoder_attention(
                record.image, record.encoder_locations, record.encoder_weights, pixel, path
            ),
            image=record.image,
            locations=record.encoder_locations,
            weights=record.encoder_weights,
            pixel=np.array(pixel),
        )


def body_keypoints(names: Sequence[str]) -> list[int]:
    """Keypoints that are not in the face: the 12 of COCO that Figure 7 shows; all if there are no others."""
    body = [index for index, name in enumerate(names) if not any(part in name.lower() for part in FACE)]
    return body or list(range(len(names)))


def symmetric_pairs(metainfo: dict) -> list[tuple[int, int]]:
    """Pairs of left and right keypoints."""
    return [(first, second) for first, second in enumerate(metainfo["flip_indices"]) if first < second]


def pattern_ratio(attention: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float:
    """Mean attention between the keypoints of the pairs, over the mean between all different keypoints.

    Args:
        attention: (K, K).
        pairs: The pairs.

    Returns:
        The ratio; 1 means that the pairs attend to each other as much as any others.
    """
    between = np.mean([(attention[first, second] + attention[second, first]) / 2 for first, second in pairs])
    return float(between / attention[~np.eye(len(attention), dtype=bool)].mean())


def example_skeleton(records: Sequence[InstanceRecord], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Keypoints (K, 2) on which attention is drawn: of the person whose keypoints are easiest to tell apart.

    Args:
        records: Persons.
        pairs: Pairs of left and right keypoints.

    Returns:
        Of the persons with the most annotated keypoints, the last coordinates of the one with the largest mean distance
        between the keypoints of the pairs.
    """

    def separation(record: InstanceRecord) -> tuple[int, float]:
        points = record.coordinates[-1]
        distances = [float(np.linalg.norm(points[first] - points[second])) for first, second in pairs]
        return int(record.labelled.sum()), float(np.mean(distances)) if distances else 0.0

    return max(records, key=separation).coordinates[-1]


def _choose(names: Sequence[str], keypoints: Sequence[str] | None) -> list[int]:
    if keypoints is None:
        usual = [names.index(name) for name in ("right_shoulder", "right_knee") if name in names]
        return usual or sorted({0, len(names) - 1})
    for name in keypoints:
        if name not in names:
            raise UserError(f"Keypoints must be among {', '.join(names)}, but got {name}: correct the name.")
    return [names.index(name) for name in keypoints]
