"""Synthetic data in MPII's format: its json for MMPose, its head boxes and its release file."""

from __future__ import annotations

import json
import shutil

import numpy as np
from mmengine.config import Config
from scipy.io import loadmat, savemat

from .paths import ROOT

# for each of MPII's joints: the COCO keypoints whose mean is used
FROM_COCO = [[16], [14], [12], [11], [13], [15], [11, 12], [5, 6], [5, 6, 0], [0, 1, 2], [10], [8], [6], [5], [7], [9]]


def from_coco(people, split, folder):
    """Write annotations/mpii_{split}.json and mpii_gt_{split}.mat; the images are not copied."""
    content = json.loads((people / f"annotations/person_keypoints_{split}.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    listed, boxes = [], []
    for annotation in content["annotations"]:
        points = np.array(annotation["keypoints"], dtype=float).reshape(17, 3)
        joints = np.stack([points[joint, :2].mean(0) for joint in FROM_COCO]) + 1  # MATLAB counts from 1
        x, y, w, h = annotation["bbox"]
        listed.append(
            dict(
                image=names[annotation["image_id"]],
                center=[x + w / 2 + 1, y + h / 2 + 1],
                scale=h / 200,
                joints=joints.round(2).tolist(),
                joints_vis=[int(points[joint, 2].min() > 0) for joint in FROM_COCO],
            )
        )
        boxes.append([[x, y], [x + 0.2 * w, y + 0.2 * h]])
    annotations = folder / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    (annotations / f"mpii_{split}.json").write_text(json.dumps(listed))
    savemat(annotations / f"mpii_gt_{split}.mat", {"headboxes_src": np.transpose(boxes, (1, 2, 0))})
    return listed


def from_coco_with_images(root):
    """Write both splits and copy their images to images/; the names of the validation start with 9."""
    (root / "images").mkdir()
    for split in ("train", "val"):
        listed = from_coco(root, split, root)
        for entry in listed:
            name = entry["image"] if split == "train" else f"9{entry['image'][1:]}"
            shutil.copy(root / split / entry["image"], root / "images" / name)
            entry["image"] = name
        (root / f"annotations/mpii_{split}.json").write_text(json.dumps(listed))


def config(root):
    """The config for MPII, with its data in another folder."""
    cfg = Config.fromfile(str(ROOT / "configs/tfpose_r50_mpii_256x256.py"))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(root)
        if loader.dataset.get("headbox_file"):
            loader.dataset.headbox_file = str(root / "annotations/mpii_gt_val.mat")
    return cfg


def struct(**fields):
    """Make a struct array with one row, as in MATLAB: each field is a list with one value per element."""
    count = len(next(iter(fields.values())))
    array = np.empty((1, count), dtype=[(name, object) for name in fields])
    for name, values in fields.items():
        for index, value in enumerate(values):
            array[name][0, index] = value
    return array


def write_release(path, test_images, listed):
    """Write a release with a training image, images of one person each, and an image with all special cases.

    The persons of the last image: 1 is single, without position and scale; 2 is in a group; 3 is single.
    """

    def person(entry):
        x, y = entry["center"]
        return dict(scale=float(entry["scale"]), objpos=dict(x=float(x), y=float(y)))

    def rects(*entries):
        return struct(scale=[entry["scale"] for entry in entries], objpos=[entry["objpos"] for entry in entries])

    nobody = dict(scale=np.empty((0, 0)), objpos=np.empty((0, 0)))
    last = person(listed[-1])
    annorects = [
        rects(person(listed[0])),
        np.empty((0, 0)),
        *(rects(person(entry)) for entry in listed),
        rects(nobody, last, last),
    ]
    names = ["000000000099.jpg", "000000000098.jpg", *test_images, test_images[-1]]
    single = [[1], np.empty((0, 0)), *([1] for _ in listed), [[1], [3]]]
    cells = np.empty((len(names), 1), dtype=object)
    for index, value in enumerate(single):
        cells[index, 0] = np.array(value, dtype=float)
    annolist = struct(image=[dict(name=name) for name in names], annorect=annorects, vididx=[1.0] * len(names))
    img_train = np.array([[1, 0] + [0] * (len(names) - 2)], dtype=np.uint8)
    savemat(path, {"RELEASE": dict(annolist=annolist, img_train=img_train, single_person=cells, version="12")})


def as_matlab_evaluates(path, release):
    """Select as MPII's evaluation does: the test images' persons with a position, of these the single persons."""
    pred = loadmat(path, struct_as_record=False, squeeze_me=True)["pred"]
    release = loadmat(release, struct_as_record=False, squeeze_me=True)["RELEASE"]
    test = release.img_train == 0
    assert len(pred) == test.sum()
    points = []
    for image, original, singles in zip(pred, release.annolist[test], release.single_person[test]):
        assert image.image.name == original.image.name
        assert image.vididx == original.vididx
        for index, rect in enumerate(np.atleast_1d(image.annorect)):
            if not hasattr(rect, "objpos") or isinstance(rect.objpos, np.ndarray):
                continue
            if index + 1 in np.atleast_1d(singles):
                assert [point.id for point in rect.annopoints.point] == list(range(16))
                points.append([[point.x, point.y] for point in rect.annopoints.point])
            else:
                assert isinstance(rect.annopoints, np.ndarray)
                assert not rect.annopoints.size
    return np.array(points)
