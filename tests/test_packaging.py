"""Check what a user installs: the wheel, and the first message of the Makefile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import mmdet
import mmpose
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from tests.helpers.paths import ROOT
from tests.helpers.processes import NO_WORKERS, TFPOSE, start, succeed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    built = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_package_and_its_configs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, target in (("tfpose_mm", "tfpose_mm"), ("configs", "tfpose_mm/.mim/configs")):
        files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".jinja")]
        assert {f"{target}/{path.relative_to(ROOT / folder)}" for path in files} <= names
    assert not [name for name in names if name.split("/")[0] in ("tests", "benchmarks")]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel in a folder of its own, for PYTHONPATH."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel]
    subprocess.run([*map(str, pip)], check=True)
    return site


@pytest.mark.slow
def test_tools_work_from_an_installed_wheel(installed, checkpoint, people, tmp_path):
    """Prediction and report with its figures, by the name of a packaged config, in a folder that has nothing else."""
    environment = dict(cwd=tmp_path, PYTHONPATH=installed, SYNTHETIC_ROOT=people)
    where = start(sys.executable, "-c", "import tfpose_mm; print(tfpose_mm.__file__)", **environment)
    assert str(installed) in where.stdout
    boxes = ["--boxes", people / "annotations/person_keypoints_val.json"]
    for command, options, files in (
        ("predict", [people / "val", *boxes], {"results.json", "predictions.json", "drawn"}),
        ("report", ["--cfg-options", *NO_WORKERS], {"report.html", "report.json", "figures"}),
    ):
        model = ["tfpose_tiny_synthetic_128x96", checkpoint]
        succeed(start(*TFPOSE, command, *model, "--out", command, *options, **environment))
        assert files <= {path.name for path in (tmp_path / command).iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"predict", "report"}


@pytest.mark.slow
def test_the_demo_scripts_of_mmpose_work_from_an_installed_wheel(installed, checkpoint, people, tmp_path):
    """As docs/prediction.md shows; the detector has random weights."""
    environment = dict(cwd=tmp_path, PYTHONPATH=installed)
    config = installed / "tfpose_mm/.mim/configs/tfpose_tiny_synthetic_128x96.py"
    demo, image = Path(mmpose.__path__[0]) / ".mim/demo", people / "val/000000000001.jpg"
    command = [image, config, checkpoint, "--out-file", "drawn.jpg", "--device", "cpu"]
    drawn = start(sys.executable, demo / "image_demo.py", *command, **environment)
    assert drawn.returncode == 0, drawn.stderr[-3000:]
    assert cv2.imread(str(tmp_path / "drawn.jpg")).std() > 5

    base = f"{mmdet.__path__[0]}/.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    (tmp_path / "detector.py").write_text(f"_base_ = {base!r}\nmodel = dict(backbone=dict(init_cfg=None))\n")
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(Config.fromfile(tmp_path / "detector.py").model)
    torch.save(dict(state_dict=detector.state_dict(), meta={}), tmp_path / "detector.pth")
    command = ["detector.py", "detector.pth", config, checkpoint, "--input", image, "--output-root", "drawn"]
    options = ["--save-predictions", "--device", "cpu", "--bbox-thr", "0.9"]  # random weights find nobody above 0.9
    drawn = start(sys.executable, demo / "topdown_demo_with_mmdet.py", *command, *options, **environment)
    assert drawn.returncode == 0, drawn.stderr[-3000:]
    (record,) = json.loads((tmp_path / "drawn/results_000000000001.json").read_text())["instance_info"]
    assert len(record["keypoints"]) == 17


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("stack", "given", "sentence"),
    [
        ("classic", "3.13", "The classic packages need Python 3.9 to 3.11, but {python}: {fix}, or add STACK=modern."),
        ("modern", "3.11", "The modern packages need Python 3.12 or 3.13, but {python}: {fix}, or add STACK=classic."),
        ("new", "3.13", "STACK must be modern or classic, but is new."),
    ],
)
def test_make_refuses_what_is_not_supported_in_one_sentence(stack, given, sentence, tmp_path):
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = -V ]; then echo "Python {given}.0"; else echo {given}; fi\n')
    fake.chmod(0o755)
    options = [f"STACK={stack}", f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}", f"DEMO={tmp_path / 'demo'}"]
    process = subprocess.run(["make", "-C", str(ROOT), "demo", *options], capture_output=True, text=True, check=False)
    assert process.returncode == 2
    expected = sentence.format(python=f"{fake} is Python {given}.0", fix="leave PYTHON out, name another one")
    assert process.stderr.splitlines()[0] == f"error: {expected}"
    assert not (tmp_path / "venv").exists()


TOOLS = ("sh", "dirname", "date", "mktemp", "rm", "grep", "tee", "cat", "head", "cut")


def install(folder, uv, compiler=True, python="echo 3.13"):
    """Run the installation with programs of this folder alone: a Python 3.13, a uv, perhaps a compiler."""
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    for name, script in {"python3": python, "uv": uv, **({"c++": "true"} if compiler else {})}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    command = ["sh", str(ROOT / "environment/install.sh"), "modern", str(folder / "venv")]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("uv", "compiler", "sentence"),
    [
        ("write to file: No space left on device (os error 28)", True, "The disk is full: the environment needs"),
        ("error sending request for url (https://example.org)", True, "A download failed: connect to the network"),
        ("error: No interpreter found for Python >=3.12, <3.14", True, "No Python 3.12 or 3.13 was found"),
        ("", False, "MMCV's operators need a C++ compiler: run 'apt-get install g++', then make again.\n"),
    ],
)
def test_a_failed_installation_ends_in_one_sentence(tmp_path, uv, compiler, sentence):
    """With the texts of uv 0.13."""
    process = install(tmp_path, f"echo '{uv}'; exit 1", compiler)
    assert process.returncode == 1
    assert process.stderr.startswith(f"error: {sentence}")
    assert process.stderr.count("\n") == 1


def test_uv_uses_the_index_and_the_certificates_of_pip(tmp_path):
    (tmp_path / "pip").write_text("global.cert='/certificates'\nglobal.index-url='https://mirror/simple'\n")
    python = f'if [ "$2" = pip ]; then cat {tmp_path}/pip; else echo 3.13; fi'
    process = install(tmp_path, 'echo "error: $UV_DEFAULT_INDEX $SSL_CERT_FILE"; exit 1', python=python)
    assert "error: https://mirror/simple /certificates" in process.stdout


@pytest.mark.slow
def test_mim_search_lists_the_configs_of_an_installed_wheel(installed, tmp_path):
    mim = Path(sys.executable).with_name("mim")
    process = start(mim, "search", "tfpose_mm", "--json", "found.json", cwd=tmp_path, PYTHONPATH=installed)
    assert process.returncode == 0, process.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["config"]["tfpose_r50_coco_256x192"] == "configs/tfpose_r50_coco_256x192.py"
    assert found["model"]["tfpose_r50_coco_256x192"] == "tfpose"
    assert found["training_data"]["tfpose_r50_coco_256x192"] == "coco"
    configs = [path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts]
    assert set(found["config"]) == {path.stem for path in configs}
    for config in found["config"].values():
        assert (installed / "tfpose_mm/.mim" / config).is_file(), config
