"""Split the training annotations of a data set. Settings can then be selected without the validation set.

``FILE.json`` gives ``FILE_kept.json`` and ``FILE_held_out.json`` in the same folder. Every n-th annotation is held out.
The split is the same each time. An image with several persons can be in both files. The image files are not moved.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.command_line import make_parser, positive, run
from tfpose_mm.errors import UserError, need_file


def split(annotations: Path, every: int) -> tuple[Path, Path]:
    """Write the two files.

    Args:
        annotations: COCO annotations.
        every: The first, the (1 + every)-th, ... annotation is held out.

    Returns:
        The files with the annotations that are kept for training and with those that are held out.

    Raises:
        UserError: If there is no such file, or if ``every`` is below 2 or above the number of annotations.
    """
    need_file("annotation file", annotations, "give the training annotations in COCO's format")
    content = json.loads(annotations.read_text(encoding="utf-8"))
    persons = content["annotations"]
    if not 1 < every <= len(persons):  # both parts need a person
        raise UserError(f"--every must be between 2 and {len(persons)}, but is {every}: choose another number.")
    parts = {
        "kept": [person for index, person in enumerate(persons) if index % every],
        "held_out": persons[::every],
    }
    paths = []
    for name, part in parts.items():
        used = {person["image_id"] for person in part}
        images = [image for image in content["images"] if image["id"] in used]
        paths.append(annotations.with_name(f"{annotations.stem}_{name}.json"))
        paths[-1].write_text(json.dumps({**content, "images": images, "annotations": part}), encoding="utf-8")
    return paths[0], paths[1]


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("annotations", type=Path, help="training annotations, COCO's format")
    parser.add_argument("--every", type=positive, default=9, help="which are held out (default: every 9th)")
    return parser.parse_args()


def main() -> None:
    """Split and print the files."""
    args = parse_args()
    print("\n".join(map(str, split(args.annotations, args.every))))


if __name__ == "__main__":
    run(main)
