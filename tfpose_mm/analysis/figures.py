"""Draw the paper's figures of a trained model, with the recorded arrays beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
from mmengine.config import Config

from ..config_files import read_config
from ..datasets.config_data import keypoint_names
from ..engine.running import need_device
from ..errors import UserError, need_at_least
from .attention_figures import (
    draw_encoder_attention,
    draw_layer_errors,
    draw_qualitative,
    draw_query_attention,
    draw_refinement,
    draw_sampling_points,
    draw_skeleton_attention,
    draw_weighted_points,
)
from .attention_patterns import body_keypoints, example_skeleton, pattern_ratio, symmetric_pairs
from .attention_study import AttentionStudy, InstanceRecord, study_attention
from .curves import draw_curves
from .training_log import read_curve, split_labels

EXAMPLES = 12  # persons of Figure 10


class DrawnFigure(NamedTuple):
    """A figure.

    Attributes:
        path: The picture; its arrays are in an ``.npz`` file of the same name.
        caption: What it shows.
    """

    path: Path
    caption: str


class DrawnFigures(list[Path]):
    """The pictures; printed with one path in each line."""

    def __str__(self) -> str:
        """The paths."""
        return "\n".join(map(str, self))


def draw_figures(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path,
    persons: Sequence[int] = (0,),
    keypoints: Sequence[str] | None = None,
    limit: int | None = None,
    pixel: tuple[float, float] | None = None,
    logs: Sequence[str] = (),
    metric: str = "coco/AP",
    device: str = "cpu",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> DrawnFigures:
    """Draw the paper's figures of a trained TFPose, with the drawn arrays as .npz.

    It draws for the test data of the config: mean query-to-query attention (Figure 6, and 8 and 9 on a skeleton) and
    the error of each layer; for some persons the sampling points (Figure 7), the weighted points (Figures 11 and 12)
    and the refinement of each keypoint. It draws predicted skeletons of the first 12 persons (Figure 10). With logs it
    draws curves of trainings (Figure 5).

    Args:
        config: Config with a TFPoseHead and annotated test data, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: Folder for pictures and arrays.
        persons: Numbers of the persons in the test data whose sampling points and refinement are drawn.
        keypoints: Keypoints of Figures 11 and 12. Defaults to right_shoulder and right_knee, or the first and the last.
        limit: Persons for the means. Defaults to all; those of persons and the first 12 are always included.
        pixel: (x, y) of the model's input, in pixels, whose attention in the encoder is drawn.
        logs: Work directories of trainings as LABEL=FOLDER; those that differ only in their seed have the same label.
        metric: Metric of the curves.
        device: cpu, or a GPU as cuda:0.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The pictures.

    Raises:
        UserError: If an argument does not fit; see also :func:`study_attention`.
    """
    need_at_least(0, persons=min(persons, default=0))
    need_at_least(1, limit=limit)
    need_device(device)
    cfg = read_config(config, cfg_options)
    curves = [read_curve(label, folder, metric) for label, folder in split_labels(logs)]
    study = study_attention(cfg, checkpoint, persons, EXAMPLES, limit, pixel, device=device)
    pictures = [figure.path for figure in draw_study(study, out, persons, keypoints, pixel)]
    if curves:
        path = Path(out) / "fig5_curves.png"
        draw_curves(curves, metric, path)
        values: dict = {f"{i} {curve.name}": np.array(sorted(curve.values.items())) for i, curve in enumerate(curves)}
        np.savez_compressed(path.with_suffix(".npz"), **values)
        pictures.insert(0, path)
    return DrawnFigures(pictures)


def draw_study(
    study: AttentionStudy,
    out: str | Path,
    persons: Sequence[int],
    keypoints: Sequence[str] | None = None,
    pixel: tuple[float, float] | None = None,
) -> list[DrawnFigure]:
    """Draw the figures of recorded attention.

    Args:
        study: The recorded attention.
        out: Folder for the pictures and for ``.npz`` files with the drawn arrays.
        persons: Numbers of the recorded persons, for the names of the files.
        keypoints: See :func:`draw_figures`.
        pixel: The recorded pixel.

    Returns:
        The figures.

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
        _draw_person(record, names, shown, pixel, number, pictures)
    records = study.examples
    links, lower = study.metainfo["skeleton_links"], study.metainfo["lower_body_ids"]
    final = [record.coordinates[-1] for record in records]
    pictures.add(
        "fig10_qualitative",
        "Predictions, upper body green, lower body blue (Figure 10 of the paper).",
        lambda path: draw_qualitative([record.image for record in records], final, links, lower, path),
        keypoints=np.array(final),
    )
    return pictures.figures


class _Pictures:
    """Write a picture and its arrays under one name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.figures: list[DrawnFigure] = []

    def add(self, name: str, caption: str, draw: Callable[[Path], None], **arrays: np.ndarray) -> None:
        """Draw a picture, and save its arrays beside it."""
        path = self.folder / f"{name}.png"
        draw(path)
        # pyrefly: ignore[bad-argument-type] - it takes one of the arrays for allow_pickle
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        self.figures.append(DrawnFigure(path, caption))


def _draw_means(study: AttentionStudy, names: Sequence[str], pictures: _Pictures) -> None:
    errors, correct, attention = study.errors, study.correct, study.query_attention
    pictures.add(
        "layer_errors",
        "PCK@0.2 and mean error after each decoder layer.",
        lambda path: draw_layer_errors(errors, correct, names, path),
        errors=errors,
        correct=correct,
        names=np.array(names),
    )
    if attention is None:
        return
    pictures.add(
        "fig6_query_attention",
        "Mean query-to-query attention of each decoder layer (Figure 6 of the paper).",
        lambda path: draw_query_attention(attention, names, path),
        attention=attention,
        names=np.array(names),
    )
    _draw_patterns(study, attention, names, pictures)


def _draw_patterns(study: AttentionStudy, attention: np.ndarray, names: Sequence[str], pictures: _Pictures) -> None:
    """Figures 8 and 9, each in the layer where the pattern is strongest."""
    positions = example_skeleton(study.examples, symmetric_pairs(study.metainfo))
    for figure, pattern, between, pairs in (
        (8, "symmetric", "left and right keypoints", symmetric_pairs(study.metainfo)),
        (9, "adjacent", "linked keypoints", [tuple(link) for link in study.metainfo["skeleton_links"]]),
    ):
        if pairs:
            ratios = [pattern_ratio(layer, pairs) for layer in attention]
            layer = int(np.argmax(ratios))
            pictures.add(
                f"fig{figure}_{pattern}_layer{layer + 1}",
                f"Attention between {between} in decoder layer {layer + 1}, {ratios[layer]:.2f} times the mean between "
                f"all pairs (Figure {figure} of the paper).",
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
    person: int,
    pictures: _Pictures,
) -> None:
    body = body_keypoints(names)
    labels = [names[index] for index in body]
    target, labelled = record.target[body], record.labelled[body]
    common = dict(image=record.image, target=target, labelled=labelled, names=np.array(labels))
    # the finest level of the last layer, as in the paper
    points = record.locations[-1, body, :, 0].reshape(len(body), -1, 2)
    pictures.add(
        f"person{person}_fig7_sampling_points",
        f"Person {person}: sampling points of each keypoint, finest level, last decoder layer. The yellow circle is "
        "the annotated position (Figure 7 of the paper).",
        lambda path: draw_sampling_points(record.image, points, target, labelled, labels, path),
        locations=points,
        **common,
    )
    for index in shown:
        _draw_weights(record, index, names[index], person, pictures)
    coordinates = record.coordinates[:, body]
    pictures.add(
        f"person{person}_refinement",
        f"Person {person}: the coordinates y_0 to y_{len(coordinates) - 1} of each keypoint. The yellow circle is the "
        "annotated position.",
        lambda path: draw_refinement(record.image, coordinates, target, labelled, labels, path),
        coordinates=coordinates,
        **common,
    )
    locations, weights = record.encoder_locations, record.encoder_weights
    if pixel is not None and locations is not None and weights is not None:
        pictures.add(
            f"person{person}_encoder",
            f"Person {person}: attention of the pixel {pixel} in each encoder layer.",
            lambda path: draw_encoder_attention(record.image, locations, weights, pixel, path),
            image=record.image,
            locations=locations,
            weights=weights,
            pixel=np.array(pixel),
        )


def _draw_weights(record: InstanceRecord, index: int, name: str, person: int, pictures: _Pictures) -> None:
    """Figures 11 and 12, for one keypoint."""
    target = record.target[index] if record.labelled[index] else None
    locations, weights = record.locations[-1, index], record.weights[-1, index]
    pictures.add(
        f"person{person}_fig11_{name}",
        f"Person {person}: sampling points of {name} on each level, coloured by attention weight, last decoder layer. "
        "The cross is the annotated position (Figures 11 and 12 of the paper).",
        lambda path: draw_weighted_points(record.image, locations, weights, target, path),
        image=record.image,
        locations=locations,
        weights=weights,
        target=record.target[index],
    )


def _choose(names: Sequence[str], keypoints: Sequence[str] | None) -> list[int]:
    if keypoints is None:
        usual = [names.index(name) for name in ("right_shoulder", "right_knee") if name in names]
        return usual or sorted({0, len(names) - 1})
    for name in keypoints:
        if name not in names:
            raise UserError(f"Keypoints must be among {', '.join(names)}, but got {name}: correct the name.")
    return [names.index(name) for name in keypoints]
