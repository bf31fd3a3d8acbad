"""Write a config for one's own data: the command ``init``."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..datasets.checks import check_data
from ..errors import UserError
from .categories import choose_category, complete_rows, keep_category
from .config_text import write_files
from .keypoint_names import DEFAULT_SIGMA, Keypoint, infer_keypoints
from .layouts import Part, find_coco_parts
from .settings import choose_settings
from .yolo_pose import find_yaml, read_yolo_parts

VAL_FRACTION, SEED = 0.2, 0  # of the split by image, if there is no validation set


class OwnData(NamedTuple):
    """What :func:`init_data` did: the path of the config, the text about it, and the exit status of check-data."""

    config: Path
    text: str
    exit_status: int

    def __str__(self) -> str:
        """The text."""
        return self.text


def init_data(
    data: str | Path | Sequence[str],
    *,
    out: str | Path,
    category: str | None = None,
    images: str | Path | None = None,
) -> OwnData:
    """Write a config for your own data: keypoints, flip pairs, input size, schedule.

    What is inferred is printed and written to two files that can be edited: keypoints.py, and config.py, which inherits
    the recommended model. Annotations that must be converted or split are written beside them; the data stay as they
    are. Then the data are checked as by check-data, whose exit status the command has.

    Args:
        data: A folder with COCO keypoint json files (of Roboflow, CVAT, Label Studio or MMPose) or with a data.yaml of
            YOLO pose; or one or several such files. The last word train, val or test in the name of a json file, or
            of its folder, tells what it is for; a single file is split.
        out: New folder for the config.
        category: Name of the category, if several have keypoints.
        images: Folder to which the image names in json files are relative. Defaults to the one with most of the images.

    Returns:
        What was inferred, and the faults of the data.

    Raises:
        UserError: If the data cannot be used, or the folder has files; nothing is written then.
    """
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} exists already and is not an empty folder: choose another one; nothing was changed.")
    parts = _read_parts(data, None if images is None else Path(images).resolve())
    chosen = choose_category(parts, category)
    notes = [note for part in parts for note in (*keep_category(part, chosen.name), *complete_rows(part))]
    if "val" not in [part.split for part in parts]:
        parts = [*_split(parts[0]), *parts[1:]]
        notes.append(
            f"There is no validation set: {VAL_FRACTION:.0%} of the images, selected with seed {SEED}, are for "
            "validation. If images are frames of one video, split them by video instead."
        )
    flips = parts[0].flip_indices
    if flips == list(range(len(chosen.keypoints))):
        notes.append(
            "flip_idx has no pair and counts as not given: flip pairs are inferred from the names of keypoints"
        )
        flips = None
    keypoints = infer_keypoints(chosen.keypoints, flips)
    settings = choose_settings(parts[0], keypoints)
    config = write_files(out, chosen, keypoints, parts, settings)
    lines = [
        f"{chosen.name}: K = {len(keypoints)}, {len(chosen.skeleton)} links in the skeleton",
        *_describe_keypoints(keypoints),
        *(
            f"{part.split}: {len(part.content['annotations'])} annotations in {len(part.content['images'])} images: "
            f"{part.file}, images in {part.images}"
            for part in parts
        ),
        *settings.describe(),
        *notes,
        f"written: {config}, {config.with_name('keypoints.py')}",
    ]
    report = check_data(config)
    text = "\n\n".join(["\n".join(lines), str(report), _next_commands(config, parts[1])])
    return OwnData(config, text, report.exit_status)


def _read_parts(data: str | Path | Sequence[str], images: Path | None) -> list[Part]:
    paths = [Path(path).resolve() for path in ([data] if isinstance(data, (str, Path)) else data)]
    for path in paths:
        if not path.exists():
            raise UserError(f"The data {path} do not exist: give a folder, json files or a data.yaml.")
        if path.suffix not in (".json", ".yaml", ".yml") if path.is_file() else len(paths) > 1:
            raise UserError(f"{path} cannot be read as annotations: give one folder, json files or one data.yaml.")
    yolo = find_yaml(paths[0]) if len(paths) == 1 else None
    parts = read_yolo_parts(yolo) if yolo else find_coco_parts(paths, images)
    if not parts or parts[0].split != "train":
        found = ", ".join(f"{part.file} ({part.split})" for part in parts) or f"{yolo} without labels"
        raise UserError(f"Annotations for training are needed, but there is only {found}: add some for training.")
    return parts


def _split(part: Part) -> list[Part]:
    """Split the images that have annotations; each image is for training or for validation."""
    used = {row["image_id"] for row in part.content["annotations"]}
    ids = [image["id"] for image in part.content["images"] if image["id"] in used]
    if len(ids) < 2:
        raise UserError(
            f"Two images with annotations are needed, but {part.file} has {len(ids)}: annotate more images."
        )
    val = set(random.Random(SEED).sample(ids, max(1, round(VAL_FRACTION * len(ids)))))
    parts = []
    for split, selected in (("train", set(ids) - val), ("val", val)):
        rows = [row for row in part.content["annotations"] if row["image_id"] in selected]
        images = [image for image in part.content["images"] if image["id"] in selected]
        content = dict(part.content, images=images, annotations=rows)
        parts.append(Part(split, content, part.file, part.images, True, part.flip_indices))
    return parts


def _describe_keypoints(keypoints: Sequence[Keypoint]) -> Iterator[str]:
    """A table of the keypoints, and where the sigmas come from."""
    width = max(len("flip pair"), *(len(keypoint.name) for keypoint in keypoints))
    yield f"{'':>5}  {'keypoint':<{width}}  {'flip pair':<{width}}  half   sigma"
    for index, keypoint in enumerate(keypoints):
        names = f"{index:>5}  {keypoint.name:<{width}}  {keypoint.swap or '-':<{width}}"
        doubt = f"  uncertain: {keypoint.doubt}" if keypoint.doubt else ""
        yield f"{names}  {keypoint.half or '-':<5}  {keypoint.sigma:.3f}{doubt}"
    defaults = sum(not keypoint.known_sigma for keypoint in keypoints)
    yield f"flip pairs: {sum(bool(keypoint.swap) for keypoint in keypoints) // 2}"
    yield f"sigmas: COCO's for {len(keypoints) - defaults} keypoints, the default {DEFAULT_SIGMA} for {defaults}"


def _next_commands(config: Path, val: Part) -> str:
    folder = (val.images / val.content["images"][0]["file_name"]).parent
    names = (config, *(config.parent / sub for sub in ("work_dir", "report", "predictions")), folder, val.file)
    path, work_dir, report, predictions, inputs, boxes = (shlex.quote(str(name)) for name in names)
    checkpoint = f"{work_dir}/best_coco_AP_epoch_*.pth"
    return (
        "next, to train and to look at the result:\n"
        f"  mim train mmpose {path} --work-dir {work_dir}\n"
        f"  tfpose report {path} {checkpoint} --out {report}\n"
        f"  tfpose predict {path} {checkpoint} {inputs} --boxes {boxes} --out {predictions}"
    )
