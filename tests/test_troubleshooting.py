"""The messages in docs/troubleshooting.md are those of the code; SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import HOOKS, MODELS

from tfpose_mm.host.requirements import KNOWN_ISSUES
from tfpose_mm.recipe import config_checks

ROOT = Path(__file__).parents[1]
PAGE, SECURITY = ROOT / "docs/troubleshooting.md", ROOT / "SECURITY.md"
SOURCES = sorted((ROOT / "tfpose_mm").rglob("*.py"))
HOLE = "\0"  # stands for a placeholder of an f-string

# packages whose files have the text, for messages of neither this package nor KNOWN_ISSUES
INSTALLED = {
    "Failed to import custom modules from ...": "mmengine/config/config.py",
    "Cannot find the config in the checkpoint.": "mmengine/infer/infer.py",
    "Weights only load failed.": "torch/serialization.py",
}
# only newer versions or a GPU print these
NOT_HERE = {
    "unable to allocate shared memory(shm) for file",
    "CUDA out of memory. Tried to allocate",
    "batch(...) must divide im2col_step(...)",
    "A module that was compiled using NumPy 1.x cannot be run in",
}


def entries():
    """Each entry of the page as (its messages, its explanation); an entry of a symptom has no message."""
    items = re.findall(r"^- (.+(?:\n  .+)*)", PAGE.read_text(encoding="utf-8"), re.M)
    for item in (" ".join(item.split()) for item in items):
        heading, colon, text = re.match(r"((?:`[^`]+`(?:, )?)+|\*\*.+?\*\*)(: ?)(.*)", item).groups()
        assert colon
        assert text
        yield re.findall(r"`([^`]+)`", heading) if heading.startswith("`") else [], text


ENTRIES = list(entries())
MESSAGES = [message for messages, _ in ENTRIES for message in messages]


def templates(path):
    """Every text of a file, with HOLE for each placeholder, but not its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)


OURS = [text for path in SOURCES for text in templates(path)]


def pattern(message):
    """A message as a regular expression of its template; only placeholders may be left out."""
    parts = [re.escape(part) for part in message.split("...")]
    return re.compile(f"[^{HOLE}]*{HOLE}[^{HOLE}]*".join(parts)) if len(parts) > 1 else re.compile(parts[0])


def is_ours(message):
    """Whether a text of the package has the message. At its start and end there may be a placeholder."""
    return any(pattern(message).search(text) for text in OURS)


def raised(function):
    with pytest.raises(Exception, match=r".") as caught:
        function()
    return f"{caught.value}\n{caught.value.__cause__}"


def failed(status):
    return lambda: (_ for _ in ()).throw(subprocess.CalledProcessError(status, ["python"]))


class Killed(torch.utils.data.Dataset):
    """Its worker ends with a signal."""

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return 1

    def __getitem__(self, index):
        os.kill(os.getpid(), self.number)
        signal.pause()


def killed(number):
    return lambda: next(iter(torch.utils.data.DataLoader(Killed(number), num_workers=1)))


# the calls that fail in this way
RAISED = {
    "need at least one array to concatenate": lambda: np.concatenate([]),
    "Sizes of tensors must match except in dimension 0.": lambda: torch.cat([torch.ones(1, 2), torch.ones(1, 3)]),
    "index ... is out of bounds for axis 1 with size ...": lambda: np.ones((1, 14, 2)).take([16], axis=1),
    "[Errno 2] No such file or directory": lambda: Path("missing.jpg").read_bytes(),
    "returned non-zero exit status 143.": failed(128 + signal.SIGTERM),
    "died with <Signals.SIGTERM: 15>.": failed(-signal.SIGTERM),
    "died with <Signals.SIGKILL: 9>.": failed(-signal.SIGKILL),
    "DataLoader worker (pid(s) ...) exited unexpectedly": killed(signal.SIGKILL),
    "DataLoader worker (pid ...) is killed by signal: Killed.": killed(signal.SIGKILL),
    "DataLoader worker (pid ...) is killed by signal: Bus error.": killed(signal.SIGBUS),
    "... is not in the mmpose::model registry.": lambda: MODELS.build(dict(type="Missing")),
}


def issues_of(message):
    return [issue for issue in KNOWN_ISSUES if re.search(issue.pattern, message)]


def test_the_page_is_read():
    assert len(ENTRIES) == len(re.findall(r"^- ", PAGE.read_text(encoding="utf-8"), re.M))
    assert len(MESSAGES) > 50
    assert len(set(MESSAGES)) == len(MESSAGES)
    assert not is_ours("The loss must be infinite, but ... is ... in iteration ...")
    assert not is_ours("The loss ... but")  # words are left out, not a placeholder
    assert {*INSTALLED, *NOT_HERE, *RAISED} <= set(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_exists(message):
    if message in INSTALLED:
        package, _, file = INSTALLED[message].partition("/")
        content = (Path(__import__(package).__file__).parent / file).read_bytes()
        assert message.rstrip(".").encode() in content
    elif message in RAISED:
        assert re.search(re.escape(message).replace(r"\.\.\.", r"\S+"), raised(RAISED[message]))
    elif message not in NOT_HERE:
        assert issues_of(message) or is_ours(message), "neither this package nor KNOWN_ISSUES has this message"


@pytest.mark.parametrize("issue", KNOWN_ISSUES, ids=lambda issue: issue.pattern)
def test_each_known_issue_has_an_entry_with_its_commands(issue):
    texts = [text for messages, text in ENTRIES if any(issue in issues_of(message) for message in messages)]
    assert texts
    for command in re.findall(r"`((?:pip|mim|apt-get) [^`]+)`", texts[0]):
        assert command in issue.fix


def test_names_in_the_page_exist():
    text = PAGE.read_text(encoding="utf-8")
    checks = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) & {
        text for text in OURS if re.fullmatch(r"[a-z_]+", text)
    }
    named = re.findall(r"reports? ((?:`\w+`(?:, | and )?)+)", text) + re.findall(r"\((`\w+`)\)\.", text)
    assert len(named) >= 3
    assert set(re.findall(r"\w+", " ".join(named))) - {"and"} <= checks
    assert {"CheckFiniteHook", "PreemptionHook", "EpochSeedHook", "ResumeHook"} <= set(re.findall(r"\w+Hook", text))
    assert all(HOOKS.get(name) for name in re.findall(r"\w+Hook", text))
    assert {"shift_coords", "keypoint_scores"} <= set(config_checks.TEST_CFG)


def test_options_in_the_page_change_the_main_config():
    cfg = Config.fromfile(str(ROOT / "configs/tfpose_r50_coco_256x192.py"))
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


@pytest.mark.parametrize("page", [PAGE, SECURITY], ids=lambda page: page.name)
def test_links(page):
    text = page.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        target = page.parent / link if link else page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{link}#{anchor}"


def test_the_readme_links_both():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/troubleshooting.md)" in text
    assert "(SECURITY.md)" in text


def test_each_promise_has_a_test():
    text = SECURITY.read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| (.+) \|$", text, re.M) if not row.startswith("promise")]
    assert len(rows) >= 8
    for row in rows:
        file, name = re.search(r"`(tests/[\w/]+\.py)::(\w+)`", row).groups()
        functions = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        assert name in [node.name for node in functions if isinstance(node, ast.FunctionDef)], row


def uses(tree):
    """The names that a file imports, and the functions and methods that it calls, dotted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def files_that_use(regex, sources=SOURCES):
    found = set()
    for path in sources:
        if any(re.fullmatch(regex, name) for name in uses(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(path.relative_to(ROOT).as_posix())
    return found


NETWORK = r"(urllib\.request|http|socket|ssl|ftplib|requests|httpx|aiohttp|boto3)(\..*)?"
DOWNLOAD = r".*(download_url_to_file|load_state_dict_from_url|urlopen|urlretrieve|hf_hub_download)"


def test_only_the_loader_of_checkpoints_downloads():
    assert files_that_use(NETWORK) == set()
    assert files_that_use(DOWNLOAD) == {"tfpose_mm/engine/checkpoint_loader.py"}
    assert files_that_use(r"http\..*", [ROOT / "tests/engine/test_checkpoint_loader.py"])  # it starts a server


def test_no_code_is_executed():
    assert files_that_use(r"eval|exec|compile|os\.system|.*\bpickle\.loads?|marshal.*|yaml\.load|.*\bjoblib.*") == set()
    data_loading = "tfpose_mm/datasets/packed_collate.py"  # from its own workers, never from a file
    assert files_that_use(r"pickle") == {data_loading}
    assert files_that_use(r"torch\.load") == {"tfpose_mm/engine/checkpoint_loader.py"}
    assert files_that_use(r"eval|exec|os\.system|pickle", [ROOT / "tests/helpers/malicious.py"])
