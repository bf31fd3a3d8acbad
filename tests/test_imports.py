"""Who may import whom: the rooms of docs/architecture.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tfpose_mm

ROOT = Path(tfpose_mm.__file__).parent

# room: the rooms of this package that it may import
ALLOWED = {
    "host": set(),
    "version": set(),
    "codecs": set(),
    "models/layers": set(),
    "models/necks": {"models/layers"},
    "models/heads": {"models/layers"},
    "models/losses": set(),
    "datasets": set(),
    "visualization": set(),
    "evaluation": set(),
    "analysis": set(),
    "config": set(),
    "tools": {"host", "models/layers", "datasets", "visualization", "evaluation", "analysis", "config"},
}
REGISTERING = {"__init__.py", "models/__init__.py"}  # these import rooms only to register or re-export them


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] == "models" else parts[0]


def imported_modules(path):
    """Dotted names that a file imports, relative ones made absolute."""
    package = ("tfpose_mm", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *(node.module or "").split(".")) if node.module else base)
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def edges(path):
    for name in imported_modules(path):
        parts = name.split(".")
        if parts[0] != "tfpose_mm":
            continue
        target = "/".join(parts[1:3]) if parts[1] == "models" else parts[1]
        if target != room_of(path):
            yield target


FILES = sorted(path for path in ROOT.rglob("*.py") if str(path.relative_to(ROOT)) not in REGISTERING)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    room = room_of(path)
    assert room in ALLOWED, f"{path} is in no known room"
    forbidden = set(edges(path)) - ALLOWED[room]
    assert not forbidden, f"{room} must not import {sorted(forbidden)}"


def test_the_walk_sees_imports():
    seen = {(room_of(path), target) for path in FILES for target in edges(path)}
    assert ("models/heads", "models/layers") in seen
    assert ("tools", "datasets") in seen


def test_layers_know_no_registry():
    for path in (ROOT / "models/layers").glob("*.py"):
        assert not [name for name in imported_modules(path) if "registry" in name or "mmpose" in name]
