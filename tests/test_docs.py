"""README and docs name only what exists: targets, configs, tools, options, files."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

import mmpose
import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    """Lines of indented blocks that start with a command."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.match(r"    (make|mim|python|pip) ", line):
            yield line.partition("  #")[0].strip()


ALL = [(page.name, command) for page in PAGES for command in commands(page)]
IDS = [f"{name}: {command}" for name, command in ALL]


def test_there_are_commands():
    assert {"make", "mim", "python", "pip"} <= {command.split()[0] for _, command in ALL}


@pytest.mark.parametrize(("name", "command"), ALL, ids=IDS)
def test_command_exists(name, command, monkeypatch):
    program, *arguments = shlex.split(command)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    if program == "make":
        for target in (argument for argument in arguments if "=" not in argument):
            assert re.search(rf"^{target}:", makefile, re.M), target
    elif program == "python":
        assert arguments[0] == "-m"
        module = importlib.import_module(arguments[1])
        assert module.main
        if hasattr(module, "parse_args"):  # leaves Python with an error if an option does not exist
            monkeypatch.setattr(sys, "argv", [arguments[1], *arguments[2:]])
            module.parse_args()
    elif program == "mim" and arguments[0] in ("train", "test"):
        assert arguments[1] == "mmpose"
        Config.fromfile(str(ROOT / arguments[2]))
    else:  # an installation: its pins are those of the known-good set
        pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        for argument in arguments:
            assert "==" not in argument or argument in pins, argument
        pair = {argument.partition("==")[0] for argument in arguments} & {"mmdet", "mmpose"}
        assert program != "mim" or len(pair) < 2, "mim asks for mmdet < 3.3 beside mmpose 1.3.2 and finds no solution"


def test_the_script_for_several_machines_is_where_the_page_says():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    assert "import mmpose; print(mmpose.__path__[0])" in text
    assert "/.mim/tools/train.py" in text
    script = Path(mmpose.__path__[0]) / ".mim/tools/train.py"
    options = script.read_text(encoding="utf-8")
    assert all(f"'--{option}'" in options for option in ("resume", "amp", "auto-scale-lr", "launcher"))


@pytest.mark.parametrize("table", sorted((ROOT / "docs/benchmark").glob("*.md")), ids=lambda table: table.name)
def test_the_benchmark_s_tables_are_those_that_were_measured(table):
    """Each as the command beside it wrote it, next to its plan and its numbers."""
    assert table.read_text(encoding="utf-8") in (ROOT / "docs/benchmark.md").read_text(encoding="utf-8")
    assert table.with_suffix(".yaml").is_file()
    assert table.with_suffix(".json").is_file()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    files = re.findall(r"`((?:configs|tests|tfpose_mm|docs)/[\w./-]+\.\w+)`", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [file for file in files if not (ROOT / file).exists()]
    assert not missing


def test_ci_runs_the_readme_s_test_command():
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
