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
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from tests.datasets.conftest import dataset_config
from tests.helpers.processes import NO_WORKERS, SCRIPTS, TFPOSE, start, succeed
from tests.own_data.layouts import LAYOUTS, label, read, write, yolo
from tfpose_mm.config_files import config_path
from tfpose_mm.datasets.checked_dataset import CheckedCocoDataset
from tfpose_mm.errors import UserError
from tfpose_mm.own_data import init_data
from tfpose_mm.own_data.keypoint_names import infer_keypoints
from tfpose_mm.own_data.layouts import Part
from tfpose_mm.own_data.settings import choose_settings
from tfpose_mm.recipe import show_recipe

SMALL = [  # a narrow ResNet-18 and few layers
    *("model.backbone.depth=18", "model.backbone.base_channels=8", "model.backbone.stem_channels=8"),
    *("model.backbone.init_cfg=None", "model.neck.in_channels=[16,32,64]"),
    *("model.neck.out_channels=32", "model.neck.feedforward_channels=32", "model.neck.num_layers=1"),
    *("model.head.in_channels=32", "model.head.embed_dims=32", "model.head.feedforward_channels=32"),
    *("model.head.num_layers=2", "model.head.deconv_out_channels=[8,8,8]"),
]


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def init(data, tmp_path):
    """Run the command; return the result and its config."""

    def run(*paths, **options):
        result = init_data([str(path) for path in paths] or data, out=tmp_path / "own", **options)
        return result, Config.fromfile(result.config)

    return run


@pytest.fixture
def fails(init, tmp_path):
    def run(words, *paths, **options):
        with pytest.raises(UserError, match=words):
            init(*paths, **options)
        assert not (tmp_path / "own").exists()

    return run


def load_data(cfg, split="train"):
    return DATASETS.build(cfg[f"{split}_dataloader"].dataset)


def instances(dataset):
    """Boxes, keypoints and whether they are labelled, sorted: (N, 4 + 3 K)."""
    rows = [dataset.get_data_info(index) for index in range(len(dataset))]
    parts = [[row["bbox"][0], row["keypoints"][0].ravel(), row["keypoints_visible"][0] > 0] for row in rows]
    return sorted(np.concatenate(part).round(2).tolist() for part in parts)


def image_file(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.random.default_rng(len(name)).integers(0, 255, (40, 60, 3)))


def dataset_of(folder, names=("left_ear", "right_ear")):
    """A small data set in one file: four random images of 60 x 40 pixels with one instance."""
    content = dict(images=[], annotations=[], categories=[dict(id=1, name="thing", keypoints=list(names))])
    for number in range(1, 5):
        image_file(folder, f"{number}.png")
        content["images"].append(dict(id=number, file_name=f"{number}.png", width=60, height=40))
        keypoints = [value for index in range(len(names)) for value in (12 + 3 * index, 20 + index % 2, 2)]
        row = dict(id=number, image_id=number, category_id=1, bbox=[10, 10, 40, 20], keypoints=keypoints)
        content["annotations"].append(row)
    write(folder / "all.json", content)
    return content


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_config_of_each_layout(layout, people, tmp_path, init):
    data = LAYOUTS[layout](people, tmp_path / "my data")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    result, cfg = init(data)
    assert "keypoints.py" not in cfg.pretty_text  # the config that a checkpoint keeps needs no other file
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert result.exit_status == 0, str(result)
    assert "\nflip pairs: 8\n" in str(result)
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))
    found = [instances(load_data(cfg, split)) for split in ("train", "val")]
    assert load_data(cfg)[0]["inputs"].shape == (3, *cfg.codec.input_size[::-1])
    expected = [instances(DATASETS.build(dataset_config(split, data_root=str(people)))) for split in ("train", "val")]
    if layout in ("cvat", "label_studio"):  # a part of the training images is for validation
        assert [len(rows) for rows in found] == [7, 2]
        found = [sorted(found[0] + found[1])]
    for rows, right in zip(found, expected):
        start = 4 if layout == "label_studio" else 0  # its boxes are inferred
        assert np.array(rows)[:, start:] == pytest.approx(np.array(right)[:, start:], abs=0.02)
    if layout == "roboflow":  # its annotations have no num_keypoints, so they are written again
        assert cfg.test_dataloader.dataset.ann_file == str(tmp_path / "own/annotations/test.json")
        assert cfg.test_dataloader.dataset.test_mode


def test_the_recommended_pipelines_and_metainfo(people, init):
    """COCO's keypoints get what the recommended config has for COCO."""
    result, cfg = init(people)
    assert "half-body augmentation: yes" in str(result)
    base = Config.fromfile(config_path("tfpose_two-stage_r50_coco_256x192"))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        steps = [step.to_dict() for step in base[loader].dataset.pipeline]
        for step in steps:
            step.pop("_scope_", None)
            step.update(dict(min_total_keypoints=9) if step["type"] == "RandomHalfBody" else {})
        assert [step.to_dict() for step in cfg[loader].dataset.pipeline] == steps
    assert cfg.model.head.loss.reg_loss.sigmas == base.model.head.loss.reg_loss.sigmas
    ours, coco = load_data(cfg, "val").metainfo, parse_pose_metainfo(CheckedCocoDataset.METAINFO)
    for key in ("flip_indices", "upper_body_ids", "lower_body_ids"):
        assert ours[key] == coco[key]
    assert sorted(map(sorted, ours["skeleton_links"])) == sorted(map(sorted, coco["skeleton_links"]))


def test_one_keypoint(data, init):
    dataset_of(data, ["tip"])
    result, cfg = init()
    for words in ("thing: K = 1", "half-body augmentation: no", "COCO's for 0 keypoints, the default 0.05 for 1"):
        assert words in str(result)
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))
    kinds = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert "RandomFlip" in kinds
    assert "RandomHalfBody" not in kinds
    assert [len(load_data(cfg, split)) for split in ("train", "val")] == [3, 1]
    assert load_data(cfg).metainfo["flip_indices"] == [0]


def test_keypoints_without_names_are_not_flipped(data, init):
    content = dataset_of(data)
    del content["categories"][0]["keypoints"]
    write(data / "all.json", content)
    result, cfg = init()
    assert "flip augmentation and flip test: no, the partner of a keypoint is not known" in str(result)
    keypoints = result.config.with_name("keypoints.py").read_text()
    assert 'swap=""),  # uncertain: the keypoint has no name' in keypoints
    assert not cfg.model.test_cfg.flip_test
    assert "RandomFlip" not in [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert "no problem found" in str(show_recipe(result.config, cfg_options=SMALL))


@pytest.mark.parametrize(
    ("instances", "batch_size", "epochs", "warmup", "lr"),
    [(100, 16, 210, 73, 0.00071), (4500, 32, 140, 500, 0.001), (20000, 64, 100, 500, 0.0014)],
)
def test_schedule_and_input_size(instances, batch_size, epochs, warmup, lr):
    def choose(side):
        rows = [dict(bbox=[0, 0, side, 20], num_keypoints=1, iscrowd=0)] * instances
        rows += [dict(bbox=[0, 0, 1, 1], num_keypoints=0, iscrowd=0)] * instances  # not used
        return choose_settings(Part("train", dict(annotations=rows), Path(), Path()), infer_keypoints(["tip"]))

    found = choose(20)
    assert (found.instances, found.batch_size, found.epochs) == (instances, batch_size, epochs)
    assert (found.warmup, found.lr) == (warmup, lr)
    sizes = [choose(side).input_size for side in (17, 18, 23, 24)]
    assert sizes == [(192, 256), (256, 256), (256, 256), (256, 192)]


def test_one_of_several_categories(data, init, fails):
    content = dataset_of(data)
    links = [[0, 1], [1, 2], [0, 7], [-1, 0], [0, 1, 2], [True, 0], [0.0, 1], ["a", "c"], [[0], 1], 1, None]
    beau = dict(name="très beau", keypoints=["a", "b", "b"], skeleton=links)
    content["categories"] += [dict(beau, id=2), dict(id=3, name="box")]
    content["annotations"][3].update(category_id=3)
    del content["annotations"][3]["keypoints"]
    for row in content["annotations"][:2]:
        row.update(category_id=2, keypoints=[*row["keypoints"], 20, 20, 2])
    write(data / "all.json", content)
    fails(r"the data have thing \(K = 2\), très beau \(K = 3\), and --category is not given: choose one")
    fails("--category is person", category="person")
    result, cfg = init(category="très beau")
    assert "train: 2 rows of other categories or without 'keypoints' are left out" in str(result)
    metainfo = load_data(cfg).metainfo
    assert list(metainfo["keypoint_name2id"]) == ["a", "b", "b_2"]
    assert metainfo["skeleton_links"] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("skeleton", "links"), [([["nose", "tail"], ["nose", "ear"]], [(0, 2)]), ([1, 2], []), (7, [])]
)
def test_a_skeleton_of_names_or_of_another_form(skeleton, links, data, init):
    content = dataset_of(data, ["nose", "neck", "tail"])
    content["categories"][0]["skeleton"] = skeleton
    write(data / "all.json", content)
    assert load_data(init()[1]).metainfo["skeleton_links"] == links


def test_images_in_another_folder_or_missing(data, tmp_path, init, fails):
    write(tmp_path / "labels/all.json", dataset_of(data))
    fails(r"All 4 images of .*all\.json are missing \(the first is 1\.png\).*--images", tmp_path / "labels")
    (data / "3.png").unlink()
    result, cfg = init(tmp_path / "labels", images=data)
    assert cfg.train_dataloader.dataset.data_prefix.img == str(data)
    assert "3.png" in str(result)  # check-data names it
    assert result.exit_status == 1


def test_yolo_with_flip_indices_and_several_folders(people, data, init):
    flips = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    yolo(people, data, kpt_names={}, flip_idx=flips, train=["images/train", "more.txt"])
    image_file(data / "more/images", "ä b.png")
    (data / "more/labels").mkdir()
    (data / "more/labels/ä b.txt").write_text(label(read(people, "train")["annotations"][0], 500, 500, 3) + "\n\n")
    (data / "more.txt").write_text("./more/images/ä b.png\n", encoding="utf-8")
    _, cfg = init(data / "data.yaml")
    dataset = load_data(cfg)
    assert len(dataset) == 10
    assert dataset.metainfo["flip_indices"] == flips
    assert "RandomFlip" in [step.type for step in cfg.train_dataloader.dataset.pipeline]


@pytest.mark.parametrize(("names", "pairs", "flips"), [(True, 8, True), (False, 0, False)])
def test_flip_indices_without_a_pair_count_as_not_given(names, pairs, flips, people, data, init):
    yolo(people, data, flip_idx=list(range(17)), **({} if names else dict(kpt_names=[])))
    result, cfg = init()
    assert "flip_idx has no pair and counts as not given" in str(result)
    assert f"\nflip pairs: {pairs}\n" in str(result)
    assert ("RandomFlip" in [step.type for step in cfg.train_dataloader.dataset.pipeline]) == flips


def test_flip_indices_of_one_keypoint(people, data, init):
    yolo(people, data, kpt_shape=[1, 3], kpt_names=["tip"], flip_idx=[0])
    for file in data.glob("labels/*/*.txt"):
        file.write_text(" ".join(file.read_text().split()[:8]))
    _, cfg = init()
    assert "RandomFlip" in [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert load_data(cfg).metainfo["flip_indices"] == [0]


def test_yolo_data_in_unusual_but_clear_forms(people, data, init):
    names = read(people, "train")["categories"][0]["keypoints"]
    yolo(people, data, names={"0": "person"}, kpt_names={"0": names}, kpt_shape=[17, 3.0], path=5)
    (data / "a.yaml").write_bytes("Übung".encode("latin-1"))
    (data / "data.yaml").rename(data / "people.yaml")
    result, _ = init()
    assert "\nflip pairs: 8\n" in str(result)
    assert result.exit_status == 0


def test_wrong_yolo_data_are_a_sentence(people, data, fails):
    for change, words in (
        (dict(names="person"), "names in .* must be a list, or a dict with numbers as keys, but is person: correct"),
        (dict(names={"a": "person"}), "names in .* must be a list, or a dict with numbers as keys, but is {'a'"),
        (dict(kpt_names=5), "kpt_names in .* must be a list, or a dict with numbers as keys, but is 5"),
        (dict(kpt_names={0: 5}), "must have 17 names, as kpt_shape, but has 5"),
        (dict(flip_idx=5), "must exchange pairs of the 17 keypoints, but is 5"),
        (dict(flip_idx=[1.0, 0.0, *range(2, 17)]), "must exchange pairs of the 17 keypoints, but is"),
        (dict(kpt_shape=[17.5, 3]), r"must be \[K, 2\] or \[K, 3\], but is \[17.5, 3\]"),
        (dict(train=5), "train in .*data.yaml must have images with labels, but .*5.* has no image"),
        (dict(kpt_shape=[16, 3], kpt_names={}), r"line 1: kpt_shape \[16, 3\] needs 53 numbers, but the line has 56"),
        (dict(kpt_shape=[17, 4]), r"must be \[K, 2\] or \[K, 3\], but is \[17, 4\]"),
        (dict(kpt_shape="many", kpt_names={}), "must be a yaml with train, names and kpt_shape"),
        (dict(kpt_names={0: ["tip"]}), "must have 17 names, as kpt_shape, but has 1"),
        (dict(flip_idx=[1, 2, 0, *range(3, 17)]), "must exchange pairs of the 17 keypoints, but is"),
        (dict(train="nowhere"), "train in .*data.yaml must have images with labels, but .*nowhere"),
        ({}, r"val in .* must have images with labels, but .*labels/val/.*\.txt is missing"),
    ):
        shutil.rmtree(yolo(people, data, **change) / "labels/val")
        fails(words)
        shutil.rmtree(data)


@pytest.mark.parametrize(("place", "word"), [(0, "nan"), (7, "nan"), (-1, "inf"), (5, "x")])
def test_wrong_numbers_in_labels_are_a_sentence(place, word, people, data, fails):
    file = next(yolo(people, data).glob("labels/train/*.txt"))
    words = file.read_text().split()
    words[place] = word
    file.write_text(" ".join(words))
    fails(f"{file.name}, line 1: a label must be numbers, but .*: correct the line")


def test_wrong_annotations_are_a_sentence(data, fails):
    for change, words in (
        (lambda rows: rows[1].update(image_id=[1]), "category_id and image_id, but entry 1 does not .ids are numbers"),
        (lambda rows: rows[1].update(id=[1]), "but entry 1 does not .ids are numbers or texts"),
        (lambda rows: rows[1].update(keypoints=5), "but entry 1 does not .*keypoints are a list"),
        (lambda rows: [row.pop("keypoints") for row in rows], "has no annotation with 'keypoints'"),
        (lambda rows: rows[1].pop("image_id"), "'annotations' must have category_id and image_id, but entry 1 does"),
        (lambda rows: [row.update(category_id=5) for row in rows], "the data have none, .* or correct category_id"),
        (lambda rows: rows.__delitem__(slice(1, 9)), "Two images with annotations are needed, but .*all.json has 1"),
    ):
        content = dataset_of(data)
        change(content["annotations"])
        write(data / "all.json", content)
        fails(words)


def test_files_that_do_not_fit_together(data, init, fails):
    dataset_of(data / "train", ["a", "b"])
    dataset_of(data / "valid", ["b", "a"])
    fails(r"in one order, \['a', 'b'\], but .*valid/all.json has \['b', 'a'\]")
    dataset_of(data / "other", ["a", "b"])
    fails("are both for train, but one file is needed: give the files")
    (data / "other/all.json").rename(data / "other/my_val.json")
    _, cfg = init(data / "train/all.json", data / "other/my_val.json")
    assert [len(load_data(cfg, split)) for split in ("train", "val")] == [4, 4]


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("images", dict(file_name=None), "file_name and id, but entry 0 does not .*file_name is a text"),
        ("images", dict(id=[1]), "file_name and id, but entry 0 does not .ids are numbers or texts"),
        ("categories", dict(id={}), "id and name, but entry 0 does not .ids are numbers or texts"),
        ("categories", dict(keypoints=5), "but entry 0 does not .*keypoints are a list"),
    ],
)
def test_wrong_images_and_categories_are_a_sentence(key, change, words, data, fails):
    content = dataset_of(data)
    content[key][0].update(change)
    write(data / "all.json", content)
    fails(words)


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("keypointsTrain", "keypointsVal"),
        ("COCOTrain", "COCOVal"),
        ("valve_keypoints_train", "valve_keypoints_val"),
        ("train_car_train", "train_car_val"),
        ("person_keypoints_train2017", "instances_val2017"),
        ("train/_annotations.coco", "valid/_annotations.coco"),
        ("test/训练train", "test/MY-VALIDATION"),
    ],
)
def test_the_last_word_for_a_split_in_a_name_counts(train, val, data, init):
    content = dataset_of(data)
    (data / "all.json").unlink()
    for name, number in ((train, 3), (val, 2)):
        write(data / f"{name}.json", dict(content, annotations=content["annotations"][:number]))
    _, cfg = init(images=data)
    assert [len(load_data(cfg, split)) for split in ("train", "val")] == [3, 2]


def test_unknown_layouts(data, fails):
    fails("do not exist")
    image_file(data, "1.png")
    fails(r"no known layout .*expected COCO keypoint json files .*\(YOLO pose\)")
    fails(r"1.png cannot be read as annotations", data / "1.png")
    (data / "a.json").write_text("{")
    fails(r"a\.json is not a json file")


def test_nothing_is_overwritten(data):
    dataset_of(data)
    for out in (data, data / "all.json"):
        with pytest.raises(UserError, match="exists already and is not an empty folder"):
            init_data(data, out=out)
    assert len(list(data.iterdir())) == 5


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_four_commands(layout, people, tmp_path):
    """init, mim train, report and predict, as the output of init has them; with a small backbone and one epoch."""
    data = LAYOUTS[layout](people, tmp_path / "my data")
    init = start(*TFPOSE, "init", data, "--out", "my pose", cwd=tmp_path)
    succeed(init)
    _, train, report, predict = map(shlex.split, init.stdout.splitlines()[-4:])
    options = ["--cfg-options", *SMALL, *NO_WORKERS]
    assert train[:3] == ["mim", "train", "mmpose"]
    one_epoch = ["train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    succeed(start(sys.executable, SCRIPTS / "train.py", *train[3:], *options, *one_epoch, cwd=tmp_path))
    for command in (report, predict):
        assert command[0] == "tfpose"
        arguments = [str(next(tmp_path.glob(part))) if "*" in part else part for part in command[1:]]
        succeed(start(*TFPOSE, *arguments, *options, cwd=tmp_path))
    assert (tmp_path / "my pose/report/report.html").is_file()
    persons = 2 if layout in ("cvat", "label_studio") else 5  # a fifth of the 9 training images, or all of val
    assert len(json.loads((tmp_path / "my pose/predictions/results.json").read_text())) == persons
