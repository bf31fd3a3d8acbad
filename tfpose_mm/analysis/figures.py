"""Draw the paper's figures of a trained model, with the recorded arrays beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple

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


class Drawing(NamedTuple):
    """A figure that is not drawn yet."""

    name: str  # without an ending
    caption: str
    arrays: dict[str, Any]  # what it shows, by name; none for the losses of trainings
    draw: Callable[..., None]  # writes it to the file ``path``


class DrawnFigures(dict[Path, str]):
    """Pictures and their captions; printed with the path of a picture in each line."""

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
    logs: Sequence[str] = (),
    metric: str | None = None,
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
        limit: Number of persons for the means. Defaults to all. The first 12 and those of persons are always included.
        logs: Work directories of trainings as LABEL=FOLDER; those that differ only in their seed have the same label.
        metric: Metric of the curves. Defaults to AP, or MPII's PCK, or another of the logs.
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
    curves = [of_validations("fig5_curves", split_labels(logs), metric)] if logs else []
    recording = record(cfg, checkpoint, persons, limit, device=device)
    return DrawnFigures(
        {**write_drawings(Path(out), curves), **draw_recording(recording, Path(out), persons, keypoints)}
    )


def draw_recording(
    recording: Recording, out: Path, persons: Sequence[int], keypoints: Sequence[str] | None = None
) -> DrawnFigures:
    """Draw the figures of recorded attention, see :func:`draw_figures`; a UserError if a keypoint does not exist."""
    names = keypoint_names(recording.metainfo)
    wrong = [name for name in keypoints or () if name not in names]
    if wrong:
        raise UserError(f"Keypoints must be among {', '.join(names)}, but got {wrong[0]}: correct the name.")
    if keypoints is None:
        usual = [name for name in ("right_shoulder", "right_knee") if name in names]
        keypoints = usual or [names[k] for k in sorted({0, len(names) - 1})]
    drawings = list(_of_all(recording, names))
    for number in persons:
        drawings += _of_person(number, recording.instances[number], names, [names.index(name) for name in keypoints])
    return write_drawings(out, drawings)


def write_drawings(out: Path, drawings: Iterable[Drawing]) -> DrawnFigures:
    """Draw figures as ``.png`` into a folder, each with its arrays in an ``.npz`` file of the same name."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = DrawnFigures()
    for drawing in drawings:
        path = out / f"{drawing.name}.png"
        drawing.draw(path=path)
        if drawing.arrays:
            np.savez_compressed(path.with_suffix(".npz"), **drawing.arrays)
        pictures[path] = drawing.caption
    return pictures


def of_validations(name: str, trainings: Sequence[tuple[str, str]], metric: str | None) -> Drawing:
    """The curves of a metric, see :func:`read_curves`."""
    metric, curves = read_curves(trainings, metric)
    arrays = {f"{i} {curve.name}": np.array(sorted(curve.values.items())) for i, curve in enumerate(curves)}
    return Drawing(name, f"{metric} of the validations.", arrays, partial(draw_curves, {metric: curves}))


def _of_all(recording: Recording, names: Sequence[str]) -> Iterator[Drawing]:
    """Errors of the layers, Figure 6, Figures 8 and 9 each in the layer where the pattern is strongest, Figure 10."""
    errors, correct, listed = recording.mean_distance(), recording.pck()[:, 0], np.array(names)
    yield Drawing(
        "layer_errors",
        "PCK@0.2 and mean error after each decoder layer.",
        dict(errors=errors, correct=correct, names=listed),
        partial(draw_layer_errors, errors, correct, names),
    )
    links, attention = [tuple(link) for link in recording.metainfo["skeleton_links"]], recording.query_attention
    if attention is not None:
        yield Drawing(
            "fig6_query_attention",
            "Mean query-to-query attention of each decoder layer (Figure 6 of the paper).",
            dict(attention=attention, names=listed),
            partial(draw_query_attention, attention, names),
        )
        symmetric = symmetric_pairs(recording.metainfo)
        positions = example_skeleton(recording.examples, symmetric)
        for figure, kind, between, pairs in (
            (8, "symmetric", "left and right keypoints", symmetric),
            (9, "adjacent", "linked keypoints", links),
        ):
            if not pairs:
                continue
            ratios = [pattern_ratio(layer, pairs) for layer in attention]
            best = int(np.argmax(ratios))
            yield Drawing(
                f"fig{figure}_{kind}_layer{best + 1}",
                f"Attention between {between} in decoder layer {best + 1}, {ratios[best]:.2f} times the mean between "
                f"all pairs (Figure {figure} of the paper).",
                dict(attention=attention[best], pairs=np.array(pairs), ratios=np.array(ratios)),
                partial(draw_skeleton_attention, attention[best], positions, pairs, names),
            )
    lower, panels = {*recording.metainfo["lower_body_ids"]}, []
    for one in recording.examples:
        points = one.coordinates[-1]
        colours = [BLUE if k in lower else GREEN for k in range(len(points))]
        lines = [(BLUE if lower & {*link} else GREEN, points[list(link)]) for link in links]
        panels.append(Panel("", one.image, points, colours, lines))
    yield Drawing(
        "fig10_qualitative",
        "Predictions, upper body green, lower body blue (Figure 10 of the paper).",
        dict(keypoints=np.array([panel.points for panel in panels])),
        partial(draw_panels, panels),
    )


def _of_person(number: int, one: InstanceRecord, names: Sequence[str], shown: Sequence[int]) -> Iterator[Drawing]:
    """Figures 7, 11 and 12 in the last decoder layer, and the refinement."""
    body, image = body_keypoints(names), one.image
    common = dict(target=one.target[body], labelled=one.labelled[body], names=np.array(names)[body], image=image)
    positions = [target if labelled else None for target, labelled in zip(one.target, one.labelled)]
    points = one.locations[-1, :, :, 0].reshape(len(names), -1, 2)  # the finest level, as in the paper
    yield Drawing(
        f"person{number}_fig7_sampling_points",
        f"Person {number}: sampling points of each keypoint, finest level, last decoder layer. The yellow circle is "
        "the annotated position (Figure 7 of the paper).",
        dict(common, locations=points[body]),
        partial(draw_panels, [Panel(names[k], image, points[k], circle=positions[k]) for k in body]),
    )
    for k in shown:
        locations, weights = one.locations[-1, k], one.weights[-1, k]
        panels = weighted_panels(image, locations, weights, positions[k])
        yield Drawing(
            f"person{number}_fig11_{names[k]}",
            f"Person {number}: sampling points of {names[k]} on each level, coloured by attention weight, last decoder "
            "layer. The cross is the annotated position (Figures 11 and 12 of the paper).",
            dict(locations=locations, weights=weights, target=one.target[k], image=image),
            partial(draw_panels, panels, bar="attention weight"),
        )
    layers, paths = np.arange(len(one.coordinates)), one.coordinates.swapaxes(0, 1)
    panels = [Panel(names[k], image, paths[k], layers, [("white", paths[k])], circle=positions[k]) for k in body]
    yield Drawing(
        f"person{number}_refinement",
        f"Person {number}: the coordinates y_0 to y_{layers[-1]} of each keypoint. The yellow circle is the annotated "
        "position.",
        dict(common, coordinates=one.coordinates[:, body]),
        partial(draw_panels, panels, bar="decoder layer (0: y_0)", ticks=layers.tolist()),
    )


def weighted_panels(
    image: np.ndarray, locations: np.ndarray, weights: np.ndarray, cross: np.ndarray | None
) -> list[Panel]:
    """A panel for each level, from sampling points (heads, L, P, 2) and their weights (heads, L, P)."""
    panels = []
    for level in range(weights.shape[1]):
        places, values = locations[:, level].reshape(-1, 2), weights[:, level].reshape(-1)
        order = np.argsort(values)  # the largest on top
        panels.append(Panel(f"level {level + 1}", image, places[order], values[order], cross=cross))
    return panels


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
