"""Check which part of the package imports which other part, as in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tfpose_mm

ROOT = Path(tfpose_mm.__file__).parent

MODEL = {"models/layers", "models/necks", "models/heads", "models/losses"}
# part of the package: the other parts that it may import; every part may import utils
ALLOWED = {
    "version": set(),
    "utils": set(),
    "ops": set(),
    "codecs": set(),
    "models/layers": {"ops"},
    "models/necks": {"models/layers"},
    "models/heads": {"models/layers"},
    "models/losses": {"models/layers"},
    "datasets": set(),
    "visualization": set(),
    "evaluation": set(),
    "engine": set(),
    "config": set(),
    "packaged_configs": set(),
    "safe_loading": {"engine"},
    "inference": {"engine", "packaged_configs"},
    "apis": {
        "codecs",
        "config",
        "datasets",
        "engine",
        "evaluation",
        "inference",
        "ops",
        "packaged_configs",
        "visualization",
        *MODEL,
    },
    "tools": {"apis", "safe_loading"},
}
REGISTERING = {"__init__.py", "models/__init__.py"}  # these register or re-export other parts


def part_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] == "models" else parts[0]


def imported_modules(path):
    """Return the dotted names that a file imports, with relative names made absolute."""
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
        if target != part_of(path):
            yield target


FILES = sorted(path for path in ROOT.rglob("*.py") if str(path.relative_to(ROOT)) not in REGISTERING)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    part = part_of(path)
    assert part in ALLOWED, f"{path} is in no known part of the package"
    forbidden = set(edges(path)) - ALLOWED[part] - {"utils", "version"}
    assert not forbidden, f"{part} must not import {sorted(forbidden)}"


def test_the_walk_sees_imports():
    seen = {(part_of(path), target) for path in FILES for target in edges(path)}
    assert ("models/heads", "models/layers") in seen
    assert ("tools", "apis") in seen


def test_layers_know_no_registry():
    for path in (ROOT / "models/layers").glob("*.py"):
        assert not [name for name in imported_modules(path) if "registry" in name or "mmpose" in name]


def private_torch_names(source):
    """Names with a leading underscore that a source reads from torch, by an import or as an attribute of an alias."""
    tree = ast.parse(source)
    aliases, found = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, (alias.asname or alias.name).split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        for name, alias in names:
            if name.split(".")[0] == "torch":
                aliases.add(alias)
                found += [name] if any(part.startswith("_") for part in name.split(".")) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            found += [node.attr] if isinstance(root, ast.Name) and root.id in aliases else []
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import torch; torch._C._get_mkldnn_enabled()",
        "from torch import _C",
        "from torch._utils import is_compiling",
        "import torch.nn.functional as F; F._in_projection()",
        "from torch import nn; nn.modules.module._global_forward_hooks",
        "import torch; torch.utils._pytree.tree_map",
    ],
)
def test_private_names_are_seen(line):
    assert private_torch_names(line)


PACKAGES = [*ROOT.rglob("*.py"), *(ROOT.parent / "tfpose_lite").rglob("*.py")]


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(ROOT.parent)))
def test_no_private_torch_names(path):
    """Nothing depends on torch's internals, and nothing asks whether somebody traces, compiles or listens."""
    source = path.read_text(encoding="utf-8")
    assert private_torch_names(source) == []
    assert not re.search(r"torch\.ops\.mkldnn|\bis_(tracing|compiling)\b|_forward(_pre)?_hooks\b", source)


def test_the_package_knows_no_benchmarks():
    for path in FILES:
        assert not [name for name in imported_modules(path) if name.split(".")[0] in ("benchmarks", "tests")]


def test_the_lite_package_imports_only_the_standard_library():
    """At import. check_env imports torch and mmcv inside a function, host the stand-in for xtcocotools."""
    for path in {*(ROOT.parent / "tfpose_lite").glob("*.py")} - {ROOT.parent / "tfpose_mm/host/xtcocotools.py"}:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and not node.level]
        names += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
        standard = [
            "__future__",
            "collections",
            "contextlib",
            "functools",
            "importlib",
            "io",
            "json",
            "platform",
            "re",
            "sys",
            "threading",
            "typing",
            "warnings",
        ]
        outside = {name.split(".")[0] for name in names} - {*standard}
        assert outside == set()
