from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo as parse

from tests.helpers.paths import ROOT, TINY
from tfpose_mm.datasets.config_data import keypoint_names
from tfpose_mm.datasets.synthetic import write_dataset

LSPET = Config.fromfile(str(ROOT / "configs/_base_/lspet_keypoints.py")).metainfo.to_dict()


@pytest.fixture(scope="session")
def coco_keypoints():
    return parse(dict(from_file="configs/_base_/datasets/coco.py"))


@pytest.fixture(scope="session")
def lspet_keypoints():
    return parse(LSPET)


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """The annotations of 240 instances with COCO's 17 keypoints; tests must not change them."""
    out = tmp_path_factory.mktemp("many") / "easy"
    write_dataset(out, train=240, val=0, seed=7, workers=2)
    return json.loads((out / "annotations/person_keypoints_train.json").read_text())


@pytest.fixture(scope="session")
def many_lspet(many, coco_keypoints, lspet_keypoints):
    """The same instances with the 14 keypoints of Leeds Sports Pose; the neck is between the shoulders."""
    rows = []
    for row in many["annotations"]:
        points = np.array(row["keypoints"]).reshape(17, 3)
        shoulders = points[[5, 6]]
        named = dict(zip(keypoint_names(coco_keypoints), points), neck=shoulders.mean(0))
        up = (shoulders.mean(0) - points[[11, 12]].mean(0)) * [0.5, 0.5, 0]
        named["head_top"] = named["neck"] + up
        keypoints = np.array([named[name] for name in keypoint_names(lspet_keypoints)])
        rows.append(dict(row, keypoints=keypoints.ravel().tolist()))
    names = [dict(many["categories"][0], keypoints=keypoint_names(lspet_keypoints))]
    return dict(many, annotations=rows, categories=names)


class Data:
    """A copy of a small data set, to damage, and its config."""

    def __init__(self, root):
        self.root = root
        self.cfg = Config.fromfile(str(TINY))
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            self.cfg[loader].dataset.data_root = str(root)

    def path(self, split):
        return self.root / f"annotations/person_keypoints_{split}.json"

    def content(self, split="train"):
        return json.loads(self.path(split).read_text())

    @contextmanager
    def edit(self, split="train"):
        """Change the content of an annotation file."""
        content = self.content(split)
        yield content
        self.path(split).write_text(json.dumps(content))

    def set_tests(self, **settings):
        """Change the data sets of validation and test."""
        for loader in (self.cfg.val_dataloader, self.cfg.test_dataloader):
            loader.dataset.update(settings)

    def image(self, index, split="train"):
        return self.root / split / self.content(split)["images"][index]["file_name"]

    def snapshot(self):
        """Content and time of change of each file."""
        files = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def data(people, tmp_path):
    shutil.copytree(people, tmp_path / "data")
    return Data(tmp_path / "data")
