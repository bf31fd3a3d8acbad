"""Synthetic data in MPII's format: its json for MMPose, its head boxes and its release file."""

from __future__ import annotations

import json
import shutil

import numpy as np
from scipy.io import loadmat, savemat

# for each of MPII's joints: the COCO keypoints whose mean is used
FROM_COCO = [[16], [14], [12], [11], [13], [15], [11, 12], [5, 6], [5, 6, 0], [0, 1, 2], [10], [8], [6], [5], [7], [9]]


def write_mpii(people, root):
    """Write both splits of the synthetic data; return the persons of the validation, whose images start with 9."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    for split, first in (("train", "0"), ("val", "9")):
        content = json.loads((people / f"annotations/person_keypoints_{split}.json").read_text())
        listed, boxes = [], []
        for image, annotation in zip(content["images"], content["annotations"]):
            name = first + image["file_name"][1:]
            shutil.copy(people / split / image["file_name"], root / "images" / name)
            points = np.array(annotation["keypoints"], dtype=float).reshape(17, 3)
            joints = np.stack([points[joint, :2].mean(0) for joint in FROM_COCO]) + 1  # MATLAB counts from 1
            visible = [int(points[joint, 2].min() > 0) for joint in FROM_COCO]
            x, y, w, h = annotation["bbox"]
            place = dict(image=name, center=[x + w / 2 + 1, y + h / 2 + 1], scale=h / 200)
            listed.append(dict(place, joints=joints.round(2).tolist(), joints_vis=visible))
            boxes.append([[x, y], [x + 0.2 * w, y + 0.2 * h]])
        (root / f"annotations/mpii_{split}.json").write_text(json.dumps(listed))
        savemat(root / f"annotations/mpii_gt_{split}.mat", {"headboxes_src": np.transpose(boxes, (1, 2, 0))})
    return listed


def struct(**fields):
    """Make a struct array with one row, as in MATLAB: each field is a list with one value per element."""
    count = len(next(iter(fields.values())))
    array = np.empty((1, count), dtype=[(name, object) for name in fields])
    for name, values in fields.items():
        for index, value in enumerate(values):
            array[name][0, index] = value
    return array


def write_release(path, listed):
    """Write a release with a training image, images of one person each, and an image with all special cases.

    The persons of the last image: 1 is single, without position and scale; 2 is in a group; 3 is single.
    """

    def rects(*entries):
        places = [dict(x=float(x), y=float(y)) for x, y in (entry["center"] for entry in entries)]
        return struct(scale=[float(entry["scale"]) for entry in entries], objpos=places)

    nothing = np.empty((0, 0))
    last = rects(listed[-1], listed[-1], listed[-1])
    last["scale"][0, 0] = last["objpos"][0, 0] = nothing
    annorects = [rects(listed[0]), nothing, *(rects(entry) for entry in listed), last]
    names = ["000000000099.jpg", "000000000098.jpg", *(entry["image"] for entry in [*listed, listed[-1]])]
    cells = np.empty((len(names), 1), dtype=object)
    for index, single in enumerate([[1], nothing, *([1] for _ in listed), [[1], [3]]]):
        cells[index, 0] = np.array(single, dtype=float)
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
