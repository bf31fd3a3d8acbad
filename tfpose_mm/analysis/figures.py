"""Draw the paper's figures of a trained model, with the recorded arrays beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
from mmengine.config import Config

from ..config_files import read_config
from ..datasets.config_data import keypoint_names
from ..engine.running import need_device
from ..errors import UserError, need_at_least
from .attention_figures import (
    BLUE,
    GREEN,
    Panel,
    draw_layer_errors,
    draw_panels,
    draw_query_attention,
    draw_skeleton_attention,
)
from .curves import draw_curves, read_curves, split_labels
from .recording import InstanceRecord, Recording, record

FACE = re.compile(r"(?<![a-z])(nose|eye|ear)s?(?![a-z])")


class DrawnFigures(dict[Path, str]):
    """Pictures and their captions; printed with the path of a picture in each line."""

    def __str__(self) -> str:
        """The paths."""
        return "\n".join(map(str, self))

    def add(self, path: Path, caption: str, arrays: dict, draw: Callable, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Call ``draw(*arguments, path, **options)``, and save the arrays in an ``.npz`` file of the same name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(*arguments, path, **options)
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        self[path] = caption


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
        UserError: If an argument does not fit; see also :func:`record`.
    """
    need_at_least(0, persons=min(persons, default=0))
    need_at_least(1, limit=limit)
    need_device(device)
    cfg = read_config(config, cfg_options)
    _, curves = read_curves(split_labels(logs), metric)
    recording = record(cfg, checkpoint, persons, limit, pixel, device=device)
    pictures = DrawnFigures()
    if curves:
        arrays = {f"{i} {curve.name}": np.array(sorted(curve.values.items())) for i, curve in enumerate(curves)}
        caption = f"{metric} of the validations."
        pictures.add(Path(out) / "fig5_curves.png", caption, arrays, draw_curves, {metric: curves})
    pictures.update(draw_recording(recording, Path(out), persons, keypoints, pixel))
    return pictures


def draw_recording(
    recording: Recording,
    out: Path,
    persons: Sequence[int],
    keypoints: Sequence[str] | None = None,
    pixel: tuple[float, float] | None = None,
) -> DrawnFigures:
    """Draw the figures of recorded attention.

    Args:
        recording: The recorded attention.
        out: Folder for the pictures and for ``.npz`` files with the drawn arrays.
        persons: Numbers of the persons whose attention is drawn.
        keypoints: See :func:`draw_figures`.
        pixel: The recorded pixel.

    Returns:
        The figures.

    Raises:
        UserError: If a keypoint does not exist.
    """
    names = keypoint_names(recording.metainfo)
    shown = _choose(names, keypoints)
    pictures = DrawnFigures()
    errors, correct = recording.mean_distance(), recording.pck()[:, 0]
    arrays = dict(errors=errors, correct=correct, names=np.array(names))
    caption = "PCK@0.2 and mean error after each decoder layer."
    pictures.add(out / "layer_errors.png", caption, arrays, draw_layer_errors, errors, correct, names)
    if recording.query_attention is not None:
        _draw_query_attention(recording, recording.query_attention, names, out, pictures)
    for number in persons:
        _draw_person(number, recording.instances[number], names, shown, pixel, out, pictures)
    links, lower = recording.metainfo["skeleton_links"], {*recording.metainfo["lower_body_ids"]}
    panels = []
    for one in recording.examples:
        points = one.coordinates[-1]
        colours = [BLUE if k in lower else GREEN for k in range(len(points))]
        lines = [(BLUE if lower & {*link} else GREEN, points[list(link)]) for link in links]
        panels.append(Panel("", one.image, points, colours, lines))
    arrays = dict(keypoints=np.array([panel.points for panel in panels]))
    caption = "Predictions, upper body green, lower body blue (Figure 10 of the paper)."
    pictures.add(out / "fig10_qualitative.png", caption, arrays, draw_panels, panels)
    return pictures


def _draw_query_attention(
    recording: Recording, attention: np.ndarray, names: Sequence[str], out: Path, pictures: DrawnFigures
) -> None:
    """Figure 6, and Figures 8 and 9, each in the layer where the pattern is strongest."""
    arrays = dict(attention=attention, names=np.array(names))
    caption = "Mean query-to-query attention of each decoder layer (Figure 6 of the paper)."
    pictures.add(out / "fig6_query_attention.png", caption, arrays, draw_query_attention, attention, names)
    symmetric = symmetric_pairs(recording.metainfo)
    positions = example_skeleton(recording.examples, symmetric)
    for name, between, pairs in (
        ("fig8_symmetric", "left and right keypoints", symmetric),
        ("fig9_adjacent", "linked keypoints", [tuple(link) for link in recording.metainfo["skeleton_links"]]),
    ):
        if not pairs:
            continue
        ratios = [pattern_ratio(layer, pairs) for layer in attention]
        best = int(np.argmax(ratios))
        caption = (
            f"Attention between {between} in decoder layer {best + 1}, {ratios[best]:.2f} times the mean between all "
            f"pairs (Figure {name[3]} of the paper)."
        )
        arrays = dict(attention=attention[best], pairs=np.array(pairs), ratios=np.array(ratios))
        drawn = (attention[best], positions, pairs, names)
        pictures.add(out / f"{name}_layer{best + 1}.png", caption, arrays, draw_skeleton_attention, *drawn)


def _draw_person(
    number: int,
    one: InstanceRecord,
    names: Sequence[str],
    shown: Sequence[int],
    pixel: tuple[float, float] | None,
    out: Path,
    pictures: DrawnFigures,
) -> None:
    """Figures 7, 11 and 12, the refinement, and the attention in the encoder."""

    def add(name: str, caption: str, arrays: dict, panels: Sequence[Panel], **options: Any) -> None:  # noqa: ANN401
        path = out / f"person{number}_{name}.png"
        pictures.add(path, f"Person {number}: {caption}", dict(arrays, image=image), draw_panels, panels, **options)

    body, image = body_keypoints(names), one.image
    common = dict(target=one.target[body], labelled=one.labelled[body], names=np.array([names[k] for k in body]))
    positions = [target if labelled else None for target, labelled in zip(one.target, one.labelled)]
    points = one.locations[-1, :, :, 0].reshape(
        len(names), -1, 2
    )  # the finest level of the last layer, as in the paper
    add(
        "fig7_sampling_points",
        "sampling points of each keypoint, finest level, last decoder layer. The yellow circle is the annotated "
        "position (Figure 7 of the paper).",
        dict(common, locations=points[body]),
        [Panel(names[k], image, points[k], circle=positions[k]) for k in body],
    )
    for k in shown:
        locations, weights = one.locations[-1, k], one.weights[-1, k]
        add(
            f"fig11_{names[k]}",
            f"sampling points of {names[k]} on each level, coloured by attention weight, last decoder layer. The cross "
            "is the annotated position (Figures 11 and 12 of the paper).",
            dict(locations=locations, weights=weights, target=one.target[k]),
            weighted_panels(image, locations, weights, positions[k]),
            bar="attention weight",
        )
    layers, paths = np.arange(len(one.coordinates)), one.coordinates.swapaxes(0, 1)
    add(
        "refinement",
        f"the coordinates y_0 to y_{layers[-1]} of each keypoint. The yellow circle is the annotated position.",
        dict(common, coordinates=one.coordinates[:, body]),
        [Panel(names[k], image, paths[k], layers, [("white", paths[k])], circle=positions[k]) for k in body],
        bar="decoder layer (0: y_0)",
        ticks=layers,
    )
    if pixel is not None and one.encoder_locations is not None and one.encoder_weights is not None:
        panels = []
        for layer, (locations, weights) in enumerate(zip(one.encoder_locations, one.encoder_weights), 1):
            panels += weighted_panels(image, locations, weights, np.array(pixel), f"layer {layer}, ")
        add(
            "encoder",
            f"attention of the pixel {pixel} in each encoder layer.",
            dict(locations=one.encoder_locations, weights=one.encoder_weights, pixel=np.array(pixel)),
            panels,
            columns=one.encoder_weights.shape[2],
            bar="attention weight",
        )


def weighted_panels(
    image: np.ndarray, locations: np.ndarray, weights: np.ndarray, cross: np.ndarray | None, title: str = ""
) -> list[Panel]:
    """A panel for each level, from sampling points (heads, L, P, 2) and their weights (heads, L, P)."""
    panels = []
    for level in range(weights.shape[1]):
        places, values = locations[:, level].reshape(-1, 2), weights[:, level].reshape(-1)
        order = np.argsort(values)  # the largest on top
        panels.append(Panel(f"{title}level {level + 1}", image, places[order], values[order], cross=cross))
    return panels


def _choose(names: Sequence[str], keypoints: Sequence[str] | None) -> list[int]:
    if keypoints is None:
        usual = [names.index(name) for name in ("right_shoulder", "right_knee") if name in names]
        return usual or sorted({0, len(names) - 1})
    for name in keypoints:
        if name not in names:
            raise UserError(f"Keypoints must be among {', '.join(names)}, but got {name}: correct the name.")
    return [names.index(name) for name in keypoints]


def body_keypoints(names: Sequence[str]) -> list[int]:
    """Keypoints that are not in the face: the 12 of COCO that Figure 7 shows; all if there are no others."""
    body = [index for index, name in enumerate(names) if not FACE.search(name.lower())]
    return body or list(range(len(names)))


def symmetric_pairs(metainfo: dict) -> list[tuple[int, int]]:
    """Pairs of left and right keypoints."""
    return [(first, second) for first, second in enumerate(metainfo["flip_indices"]) if first < second]


def pattern_ratio(attention: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float:
    """Mean attention (K, K) between the keypoints of pairs, over the mean between all different keypoints."""
    between = np.mean([(attention[first, second] + attention[second, first]) / 2 for first, second in pairs])
    return float(between / attention[~np.eye(len(attention), dtype=bool)].mean())


def example_skeleton(records: Sequence[InstanceRecord], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Keypoints (K, 2) on which attention is drawn: of the person whose left and right keypoints are farthest apart.

    It is chosen among the persons with the most annotated keypoints, by the mean distance of the last coordinates.
    """

    def separation(one: InstanceRecord) -> tuple[int, float]:
        distances = [float(np.linalg.norm(np.subtract(*one.coordinates[-1][list(pair)]))) for pair in pairs]
        return int(one.labelled.sum()), float(np.mean(distances)) if distances else 0.0

    return max(records, key=separation).coordinates[-1]
