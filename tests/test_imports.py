"""What the package imports: `make lint` checks who imports whom (pyproject.toml, tool.importlinter)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

FILES = sorted((ROOT / "tfpose_mm").rglob("*.py"))
ROOMS = ("analysis", "comparison", "export", "inference", "own_data", "recipe", "training", "publishing", "cli")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_torch_names(path):
    """Nothing depends on torch's internals, and nothing asks whether somebody traces, compiles or listens."""
    source = path.read_text(encoding="utf-8")
    private = r"\b(torch|nn|F)(\.\w+)*\._(?!_)\w+|(from|import) torch[\w.]*\._|from torch[\w.]* import .*\b_"
    assert not re.search(rf"{private}|torch\.ops\.mkldnn|\bis_(tracing|compiling)\b|_forward(_pre)?_hooks\b", source)


def test_importing_the_package_loads_no_room_that_only_commands_need(tmp_path):
    """Another module than the command registers the models at import."""
    program = "import sys, tfpose_mm; print(*(name for name in sys.modules if name.startswith('tfpose_mm.')))"
    (tmp_path / "mine.py").write_text(program)
    command = [sys.executable, "-W", "ignore", "-m", "mine"]
    names = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert "tfpose_mm.models.heads.tfpose_head" in names
    assert not [name for name in names if name.split(".")[1] in ROOMS]


@pytest.mark.parametrize("path", sorted((ROOT / "tfpose_mm").glob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_a_room_has_a_small_door(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(set(names) - {"annotations"}) <= 15


def test_no_file_is_called_like_another():
    names = [path.stem for path in FILES if path.stem not in ("__init__", "__main__")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
