"""From a folder in each layout to a config that trains, tests and predicts; bad input is a sentence."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS

from tests.helpers.paths import TINY
from tests.helpers.processes import NO_WORKERS, SCRIPTS, start
from tests.own_data.layouts import LAYOUTS, label, read, roboflow, write, yolo
from tfpose_mm.config_files import config_path
from tfpose_mm.errors import UserError
from tfpose_mm.own_data import init_data
from tfpose_mm.own_data.keypoint_names import infer_keypoints
from tfpose_mm.own_data.layouts import Part
from tfpose_mm.own_data.settings import choose_settings
from tfpose_mm.recipe import show_recipe

SMALL = [  # a narrow ResNet-18 and one layer
    "model.backbone.depth=18",
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.backbone.init_cfg=None",
    "model.neck.in_channels=[16,32,64]",
    *("model.neck.out_channels=32", "model.neck.feedforward_channels=32", "model.neck.num_layers=1"),
    *("model.head.in_channels=32", "model.head.embed_dims=32", "model.head.feedforward_channels=32"),
    *("model.head.num_layers=2", "model.head.deconv_out_channels=[8,8,8]"),
]


KPTS = ["left_ear", "right_ear"]


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def load_data(cfg, split):
    return DATASETS.build(cfg[f"{split}_dataloader"].dataset)


def people_config(people):
    cfg = Config.fromfile(TINY)
    cfg.merge_from_dict({f"{split}_dataloader.dataset.data_root": str(people) for split in ("train", "val")})
    return cfg


def instances(dataset):
    """Boxes, keypoints and whether they are labelled, sorted: (N, 4 + 3 K)."""
    rows = [dataset.get_data_info(index) for index in range(len(dataset))]
    parts = [[row["bbox"][0], row["keypoints"][0].ravel(), row["keypoints_visible"][0] > 0] for row in rows]
    return np.array(sorted(np.concatenate(part).round(2).tolist() for part in parts))


def image_file(folder, name="1.png", size=(60, 40)):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.random.default_rng(len(name)).integers(0, 255, (*size[::-1], 3)))


def dataset_of(folder, names=KPTS, images=4, **changes):
    """A small data set in one file: random images of 60 x 40 pixels with one instance."""
    content = dict(images=[], annotations=[], categories=[dict(id=1, name="thing", keypoints=names)])
    for number in range(1, images + 1):
        image_file(folder, f"{number}.png")
        content["images"].append(dict(id=number, file_name=f"{number}.png", width=60, height=40))
        keypoints = [value for index in range(len(names)) for value in (12 + 3 * index, 20 + index % 2, 2)]
        row = dict(id=number, image_id=number, category_id=1, bbox=[10, 10, 40, 20], keypoints=keypoints)
        content["annotations"].append({**row, **changes})
    write(folder / "all.json", content)
    return content


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_config_of_each_layout(layout, people, tmp_path):
    data = LAYOUTS[layout](people, tmp_path / "my data")
    before = files_of(data)
    result = init_data(data, out=tmp_path / "own")
    assert files_of(data) == before
    assert result.exit_status == 0, str(result)
    assert "\nflip pairs: 8\n" in str(result)
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))
    cfg = Config.fromfile(result.config)
    found = {split: instances(load_data(cfg, split)) for split in ("train", "val")}
    packed = load_data(cfg, "train")[0]
    assert packed["inputs"].shape == (3, *cfg.codec.input_size[::-1])
    expected = {split: instances(load_data(people_config(people), split)) for split in found}
    if layout in ("cvat", "label_studio"):  # a part of the training images is for validation
        assert [len(rows) for rows in found.values()] == [7, 2]
        found = dict(train=np.array(sorted(np.concatenate([*found.values()]).tolist())))
    for split, rows in found.items():
        start = 4 if layout == "label_studio" else 0  # its boxes are inferred
        assert rows[:, start:] == pytest.approx(expected[split][:, start:], abs=0.02)


def test_the_recommended_pipelines_and_metainfo(people, tmp_path):
    """COCO's keypoints get what the recommended config has for COCO."""
    cfg = Config.fromfile(init_data(people, out=tmp_path / "own").config)
    base = Config.fromfile(config_path("tfpose_two-stage_r50_coco_256x192"))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        steps = [
            {key: value for key, value in step.items() if key != "_scope_"} for step in base[loader].dataset.pipeline
        ]
        half = [step for step in steps if step["type"] == "RandomHalfBody"]
        assert [step.update(min_total_keypoints=9) for step in half] == [None] * (loader == "train_dataloader")
        assert [step.to_dict() for step in cfg[loader].dataset.pipeline] == steps
    assert cfg.model.head.loss.reg_loss.sigmas == base.model.head.loss.reg_loss.sigmas
    ours, coco = (load_data(each, "val").metainfo for each in (cfg, people_config(people)))
    assert ours["flip_indices"] == coco["flip_indices"]
    assert sorted(map(sorted, ours["skeleton_links"])) == sorted(map(sorted, coco["skeleton_links"]))
    assert (ours["upper_body_ids"], ours["lower_body_ids"]) == (coco["upper_body_ids"], coco["lower_body_ids"])


def test_a_test_set_is_used_for_tests(people, tmp_path):
    data = roboflow(people, tmp_path / "data")  # its annotations have no num_keypoints, so they are written again
    cfg = Config.fromfile(init_data(data, out=tmp_path / "own").config)
    assert cfg.val_dataloader.dataset.ann_file == str(tmp_path / "own/annotations/val.json")
    assert cfg.test_dataloader.dataset.ann_file == str(tmp_path / "own/annotations/test.json")
    assert cfg.test_dataloader.dataset.test_mode


def test_one_keypoint(tmp_path):
    dataset_of(tmp_path / "data", ["tip"], bbox=[10, 10, 40, 20])
    result = init_data(tmp_path / "data", out=tmp_path / "own")
    assert "thing: K = 1" in str(result)
    assert "half-body augmentation: no" in str(result)
    assert "sigmas: COCO's for 0 keypoints, the default 0.05 for 1" in str(result)
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))
    cfg = Config.fromfile(result.config)
    assert cfg.codec.input_size == (256, 192)  # the boxes are 40 x 20 pixels
    kinds = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert "RandomFlip" in kinds
    assert "RandomHalfBody" not in kinds
    assert [len(load_data(cfg, split)) for split in ("train", "val")] == [3, 1]
    assert load_data(cfg, "train").metainfo["flip_indices"] == [0]


def test_keypoints_without_names_are_not_flipped(tmp_path):
    content = dataset_of(tmp_path / "data")
    del content["categories"][0]["keypoints"]
    write(tmp_path / "data/all.json", content)
    result = init_data(tmp_path / "data", out=tmp_path / "own")
    assert "flip augmentation and flip test: no, the partner of a keypoint is not known" in str(result)
    assert 'swap=""),  # uncertain: the keypoint has no name' in (tmp_path / "own/keypoints.py").read_text()
    cfg = Config.fromfile(result.config)
    assert not cfg.model.test_cfg.flip_test
    assert "RandomFlip" not in [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))


@pytest.mark.parametrize(("width", "size"), [(17, (192, 256)), (18, (256, 256)), (23, (256, 256)), (24, (256, 192))])
def test_input_size(width, size, tmp_path):
    dataset_of(tmp_path / "data", bbox=[5, 10, width, 20])
    assert Config.fromfile(init_data(tmp_path / "data", out=tmp_path / "own").config).codec.input_size == size


@pytest.mark.parametrize(
    ("instances", "batch_size", "epochs", "warmup", "lr"),
    [
        (100, 16, 210, 73, 0.00071),
        (1000, 16, 210, 500, 0.00071),
        (4500, 32, 140, 500, 0.001),
        (20000, 64, 100, 500, 0.0014),
    ],
)
def test_schedule(instances, batch_size, epochs, warmup, lr):
    rows = [dict(bbox=[0, 0, 1, 1], num_keypoints=1, iscrowd=0)] * instances
    rows += [dict(bbox=[0, 0, 1, 1], num_keypoints=0, iscrowd=0), dict(bbox=[0, 0, 9, 1], num_keypoints=1, iscrowd=1)]
    settings = choose_settings(Part("train", dict(annotations=rows), Path(), Path()), infer_keypoints(["tip"]))
    assert settings.instances == instances
    assert (settings.batch_size, settings.epochs, settings.warmup, settings.lr) == (batch_size, epochs, warmup, lr)


def test_one_of_several_categories(tmp_path):
    content = dataset_of(tmp_path / "data")
    content["categories"].append(
        dict(id=2, name="très beau", keypoints=["a", "b", "b"], skeleton=[[0, 1], [1, 2], [0, 7]])
    )
    content["categories"].append(dict(id=3, name="box"))
    content["annotations"][3].update(category_id=3)
    del content["annotations"][3]["keypoints"]
    for row in content["annotations"][:2]:
        row.update(category_id=2, keypoints=[*row["keypoints"], 20, 20, 2])
    write(tmp_path / "data/all.json", content)
    words = r"these have: thing \(K = 2\), très beau \(K = 3\): choose one with --category"
    with pytest.raises(UserError, match=words):
        init_data(tmp_path / "data", out=tmp_path / "own")
    with pytest.raises(UserError, match="but got person"):
        init_data(tmp_path / "data", out=tmp_path / "own", category="person")
    result = init_data(tmp_path / "data", out=tmp_path / "own", category="très beau")
    assert "train: 2 rows of other categories or without 'keypoints' are left out" in str(result)
    metainfo = load_data(Config.fromfile(result.config), "train").metainfo
    assert list(metainfo["keypoint_name2id"]) == ["a", "b", "b_2"]
    assert metainfo["skeleton_links"] == [(0, 1), (1, 2)]


def test_some_images_are_missing(people, tmp_path):
    data = shutil.copytree(people, tmp_path / "data")
    (data / "train/000000000003.jpg").unlink()
    result = init_data(data, out=tmp_path / "own")
    assert "train: 1 of 9 images are missing: 000000000003.jpg" in str(result)
    assert result.exit_status == 1


def test_images_in_another_folder(tmp_path):
    content = dataset_of(tmp_path / "images")
    write(tmp_path / "labels/all.json", content)
    with pytest.raises(UserError, match=r"All 4 images of .*all\.json are missing \(the first is 1\.png\).*--images"):
        init_data(tmp_path / "labels", out=tmp_path / "own")
    result = init_data(tmp_path / "labels", out=tmp_path / "own", images=tmp_path / "images")
    assert len(load_data(Config.fromfile(result.config), "train")) == 3


def test_yolo_with_flip_indices_and_several_folders(people, tmp_path):
    flips = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    data = yolo(people, tmp_path / "data", kpt_names={}, flip_idx=flips, train=["images/train", "more.txt"])
    image_file(tmp_path, "data/more/images/ä b.png")
    (data / "more/labels").mkdir()
    (data / "more/labels/ä b.txt").write_text(label(read(people, "train")["annotations"][0], 500, 500, 3) + "\n\n")
    (data / "more.txt").write_text("./more/images/ä b.png\n", encoding="utf-8")
    cfg = Config.fromfile(init_data(data / "data.yaml", out=tmp_path / "own").config)
    dataset = load_data(cfg, "train")
    assert len(dataset) == 10
    assert dataset.metainfo["flip_indices"] == flips
    assert "RandomFlip" in [step.type for step in cfg.train_dataloader.dataset.pipeline]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(kpt_shape=[16, 3], kpt_names={}), r"line 1: kpt_shape \[16, 3\] needs 53 numbers, but the line has 56"),
        (dict(kpt_shape=[17, 4]), r"must be \[K, 2\] or \[K, 3\], but is \[17, 4\]"),
        (dict(kpt_shape="many", kpt_names={}), "must be a yaml with train, names and kpt_shape"),
        (dict(kpt_names={0: ["tip"]}), "must have 17 names, as kpt_shape, but has 1"),
        (dict(flip_idx=[1, 0]), "must exchange pairs of the 17 keypoints, but is"),
        (dict(flip_idx=[1, 2, 0, *range(3, 17)]), "must exchange pairs of the 17 keypoints, but is"),
        (dict(train="nowhere"), "train in .*data.yaml must have images, but nowhere"),
    ],
)
def test_a_wrong_yaml_is_a_sentence(change, words, people, tmp_path):
    data = yolo(people, tmp_path / "data", **change)
    with pytest.raises(UserError, match=words):
        init_data(data, out=tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_yolo_without_labels(people, tmp_path):
    data = yolo(people, tmp_path / "data")
    shutil.rmtree(data / "labels/val")
    with pytest.raises(UserError, match=r"Images of val in .* must have labels, but .*labels/val/.*\.txt and others"):
        init_data(data, out=tmp_path / "own")


def without_keypoints(content):
    for row in content["annotations"]:
        del row["keypoints"]


def without_image_id(content):
    del content["annotations"][1]["image_id"]


def with_unknown_category(content):
    content["categories"][0]["id"] = 5


def with_one_image(content):
    del content["images"][1:], content["annotations"][1:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_keypoints, "has no annotation with 'keypoints'"),
        (
            without_image_id,
            "each entry of 'annotations' must have image_id and category_id, but entry 1 has no image_id",
        ),
        (with_unknown_category, "One category must have keypoints, but these have: none: correct category_id"),
        (with_one_image, "Two images with annotations are needed, but .*all.json has 1"),
    ],
)
def test_wrong_annotations_are_a_sentence(change, words, tmp_path):
    content = dataset_of(tmp_path / "data")
    change(content)
    write(tmp_path / "data/all.json", content)
    with pytest.raises(UserError, match=words):
        init_data(tmp_path / "data", out=tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_other_keypoints_for_validation(tmp_path):
    dataset_of(tmp_path / "data/train", ["a", "b"])
    for names, words in ((["a", "b", "c"], r"K = 3 \(a, b, c\)"), (["b", "a"], r"K = 2 \(b, a\)")):
        dataset_of(tmp_path / "data/valid", names)
        with pytest.raises(UserError, match=rf"has K = 2 \(a, b\), and .*all.json has {words}"):
            init_data(tmp_path / "data", out=tmp_path / "own")


def test_unknown_layouts(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=r"no known layout: expected COCO keypoint json files .*\(YOLO pose\)"):
        init_data(tmp_path / "data", out=tmp_path / "own")
    with pytest.raises(UserError, match="do not exist"):
        init_data(tmp_path / "nothing", out=tmp_path / "own")
    image_file(tmp_path / "data")
    with pytest.raises(UserError, match=r"1.png cannot be read as annotations"):
        init_data(tmp_path / "data/1.png", out=tmp_path / "own")
    (tmp_path / "data/a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json is not a json file"):
        init_data(tmp_path / "data", out=tmp_path / "own")


def test_two_files_for_one_split(tmp_path):
    dataset_of(tmp_path / "data/one")
    dataset_of(tmp_path / "data/two")
    with pytest.raises(UserError, match="are both for train, but one file is needed: give the files"):
        init_data(tmp_path / "data", out=tmp_path / "own")
    shutil.move(tmp_path / "data/two/all.json", tmp_path / "data/two/my_val.json")
    result = init_data([tmp_path / "data/one/all.json", tmp_path / "data/two/my_val.json"], out=tmp_path / "own")
    assert [len(load_data(Config.fromfile(result.config), split)) for split in ("train", "val")] == [4, 4]


def test_nothing_is_overwritten(tmp_path):
    dataset_of(tmp_path / "data")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/notes.txt").write_text("mine")
    for out in (tmp_path / "own", tmp_path / "own/notes.txt"):
        with pytest.raises(UserError, match="exists already and is not an empty folder"):
            init_data(tmp_path / "data", out=out)
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_four_commands(people, tmp_path):
    """init, mim train, report and predict, as the output of init has them; with a small backbone and one epoch."""
    data = roboflow(people, tmp_path / "my data")
    init = start(sys.executable, "-m", "tfpose_mm", "init", data, "--out", "my pose", cwd=tmp_path)
    assert init.returncode == 0, init.stderr
    _, train, report, predict = map(shlex.split, init.stdout.splitlines()[-4:])
    options = ["--cfg-options", *SMALL, *NO_WORKERS]
    assert train[:3] == ["mim", "train", "mmpose"]
    one_epoch = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    trained = start(sys.executable, SCRIPTS / "train.py", *train[3:], *options, *one_epoch, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    for command in (report, predict):
        assert command[0] == "tfpose"
        arguments = [str(next(tmp_path.glob(part))) if "*" in part else part for part in command[1:]]
        done = start(sys.executable, "-m", "tfpose_mm", *arguments, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "my pose/report/report.html").is_file()
    results = json.loads((tmp_path / "my pose/predictions/results.json").read_text())
    assert len(results) == 5
