"""The synthetic data set in the layouts of annotation tools."""

from __future__ import annotations

import json
import shutil
from functools import partial

import yaml

SPLITS = ("train", "val")


def read(people, split):
    return json.loads((people / f"annotations/person_keypoints_{split}.json").read_text(encoding="utf-8"))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def copy_images(people, split, folder, name):
    """The annotations of a split, whose images are copied into a folder; ``{}`` in their new names is a number."""
    content = read(people, split)
    for image in content["images"]:
        source, image["file_name"] = people / split / image["file_name"], name.format(image["id"])
        (folder / image["file_name"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / image["file_name"])
    return content


def roboflow(people, root):
    for split, name in zip(SPLITS, ("train", "valid")):
        content = copy_images(people, split, root / name, "{}_jpg.rf.5e1.jpg")
        content["categories"].insert(0, dict(id=0, name="people", supercategory="none"))
        for row in content["annotations"]:
            del row["num_keypoints"]
        write(root / name / "_annotations.coco.json", content)
    shutil.copytree(root / "valid", root / "test")
    return root


def cvat(people, root):
    """One subset without a split; names with folders, spaces and other letters."""
    content = copy_images(people, "train", root / "images/default", "Läufer 1/图 {}.jpg")
    write(root / "annotations/person_keypoints_default.json", content)
    return root


def label_studio(people, root):
    content = copy_images(people, "train", root, "images/{}.jpg")
    for row in content["annotations"]:
        del row["bbox"], row["area"], row["iscrowd"]
    write(root / "result.json", content)
    return root


def yolo(people, root, values=3, images="images/{}", **settings):
    """YOLO pose; with ``images="{}/images"`` as Roboflow's, whose paths are relative to a folder that is not there."""
    for split in SPLITS:
        content, labels = read(people, split), root / images.replace("images", "labels").format(split)
        shutil.copytree(people / split, root / images.format(split))
        labels.mkdir(parents=True)
        for image, row in zip(content["images"], content["annotations"]):
            line = label(row, image["width"], image["height"], values)
            (labels / image["file_name"]).with_suffix(".txt").write_text(line + "\n")
    up = "../" if images.startswith("{}") else ""
    names = content["categories"][0]["keypoints"]
    places = {split: up + images.format(split) for split in SPLITS}
    defaults = dict(places, names={0: "person"}, kpt_shape=[len(names), values], kpt_names={0: names})
    (root / "data.yaml").write_text(yaml.safe_dump({**defaults, **settings}), encoding="utf-8")
    return root


def label(row, width, height, values):
    x, y, w, h = row["bbox"]
    numbers = [(x + w / 2) / width, (y + h / 2) / height, w / width, h / height]
    for kx, ky, v in zip(*[iter(row["keypoints"])] * 3):
        numbers += [kx / width, ky / height, v][:values]
    return " ".join(["0", *(f"{number:.6f}" for number in numbers)])


LAYOUTS = dict(mmpose=shutil.copytree, roboflow=roboflow, cvat=cvat, label_studio=label_studio, yolo=yolo)
LAYOUTS["yolo_of_roboflow"] = partial(yolo, values=2, images="{}/images")
