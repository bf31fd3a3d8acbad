"""docs/troubleshooting.md names options and hooks that exist; SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest
from mmengine.config import Config
from mmpose.registry import HOOKS

from tests.helpers.paths import MAIN, ROOT
from tfpose_mm.host.requirements import KNOWN_ISSUES

PAGE, SECURITY = ROOT / "docs/troubleshooting.md", ROOT / "SECURITY.md"
SOURCES = sorted((ROOT / "tfpose_mm").rglob("*.py"))


def entries():
    """Each entry of the page as (its messages, its explanation); an entry of a symptom has no message."""
    for item in re.findall(r"^- (.+(?:\n  .+)*)", PAGE.read_text(encoding="utf-8"), re.M):
        heading, text = re.match(r"((?:`[^`]+`(?:, )?)+|\*\*.+?\*\*): ?(.+)", " ".join(item.split())).groups()
        yield re.findall(r"`([^`]+)`", heading) if heading.startswith("`") else [], text


ENTRIES = list(entries())


def test_the_page_is_read():
    assert len(ENTRIES) == len(re.findall(r"^- ", PAGE.read_text(encoding="utf-8"), re.M))
    messages = [message for messages, _ in ENTRIES for message in messages]
    assert len(messages) > 50
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize("pattern", KNOWN_ISSUES)
def test_each_known_issue_has_an_entry(pattern):
    assert [message for messages, _ in ENTRIES for message in messages if re.search(pattern, message)]


def test_names_in_the_page_exist():
    hooks = set(re.findall(r"\w+Hook", PAGE.read_text(encoding="utf-8")))
    assert "CheckFiniteHook" in hooks
    assert all(HOOKS.get(name) for name in hooks)


def test_options_in_the_page_change_the_main_config():
    cfg = Config.fromfile(str(MAIN))
    text = " ".join(text for _, text in ENTRIES)
    new = {"accumulative_counts", "keypoint_scores", "shift_coords"}  # keys with a default
    paths = re.findall(r"\b((?:\w+\.)+\w+)=", " ".join(re.findall(r"`([^`]+)`", text)))
    assert len(paths) > 5
    for path in paths:
        *parents, last = path.split(".")
        value = cfg
        for name in parents:
            value = value[name]
        assert last in value or last in new, path


def test_each_promise_has_a_test():
    text = SECURITY.read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| (.+) \|$", text, re.M) if not row.startswith("promise")]
    assert len(rows) >= 8
    for row in rows:
        file, name = re.search(r"`(tests/[\w/]+\.py)::(\w+)`", row).groups()
        functions = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        assert name in [node.name for node in functions if isinstance(node, ast.FunctionDef)], row


def files_with(regex):
    return {path.relative_to(ROOT).as_posix() for path in SOURCES if re.search(regex, path.read_text("utf-8"), re.M)}


LOADER = {"tfpose_mm/engine/checkpoint_loader.py"}


def test_only_the_loader_of_checkpoints_downloads():
    modules = r"urllib\.request|http|socket|ssl|ftplib|requests|httpx|aiohttp|boto3"
    assert files_with(rf"^\s*(import|from) ({modules})\b") == set()
    functions = "download_url_to_file|load_state_dict_from_url|urlopen|urlretrieve|hf_hub_download"
    assert files_with(rf"({functions})\(") == LOADER


def test_no_code_is_executed():
    functions = r"(?<![\w.])(eval|exec|compile)|os\.system|pickle\.loads?|yaml\.load|marshal\.\w+|joblib\.\w+"
    assert files_with(rf"({functions})\(|^\s*import pickle") == set()
    assert files_with(r"[ (=]torch\.load\(") == LOADER
