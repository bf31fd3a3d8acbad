from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cyclopts
import pytest
from mmengine.config import Config

from tests.helpers.paths import ROOT, pinned_versions
from tfpose_mm.host import requirements as host

CLASSIC = dict(torch="2.1.2", mmengine="0.10.7", mmcv="2.1.0", mmdet="3.3.0", mmpose="1.3.2")
MODERN = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}
MODERN.update(torch="2.13.0", mmpose="1.3.2")


def test_the_numbers_of_a_version():
    versions = {"2.0.0rc4": (2, 0, 0), "2.1.2+cu121": (2, 1, 2), "dev": ()}
    assert {text: host.parse_version(text) for text in versions} == versions


def install(monkeypatch, versions):
    monkeypatch.setattr(host, "installed_version", versions.get)


@pytest.mark.parametrize("versions", [CLASSIC, MODERN])
def test_both_sets_are_fine(monkeypatch, versions):
    assert host.check_versions() == host.check_imports() == []  # this host
    install(monkeypatch, versions)
    assert host.check_versions() == []
    assert set(versions) <= set(host.list_versions())
    assert host.list_versions()["numpy"] == "not installed"


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (CLASSIC, dict(mmcv=None), r"needs mmcv>=2\.1,<2\.2 or onedl-mmcv>=2\.3\.6,<3 for mmcv, but none is installed"),
        (CLASSIC, dict(mmcv="2.2.0"), r"or onedl-mmcv>=2\.3\.6,<3 for mmcv, but mmcv 2\.2\.0 is installed: follow"),
        (CLASSIC, dict(torch="2.0.1"), r"needs torch>=2\.1,<3 for torch, but torch 2\.0\.1 is installed: follow 'Ins"),
        (MODERN, dict(mmcv="2.1.0"), r"only one of them, .*, but mmcv 2\.1\.0 and onedl-mmcv 2\.3\.6 is installed"),
    ],
)
def test_a_wrong_host_is_one_sentence(monkeypatch, base, changes, message):
    install(monkeypatch, {**base, **changes})
    with pytest.raises(host.HostError, match=message) as caught:
        host.require()
    assert "\n" not in str(caught.value)


def test_known_issues_have_a_fix():
    for message, fix in {
        "/x/mmcv/_ext.cpython-311.so: undefined symbol: _ZN3c10ng": "--no-cache-dir .* --no-build-isolation onedl-mmcv",
        "numpy.dtype size changed, may indicate binary incompatibility": "--no-binary xtcocotools",
        "No module named 'xtcocotools'": "import tfpose_mm before mmpose",
        "No module named 'pkg_resources'": "setuptools<82",
        "libGL.so.1: cannot open shared object file": "apt-get install libgl1",
        "Unsupported global: GLOBAL mmengine.logging.history_buffer.HistoryBuffer": "import tfpose_mm.safe_loading",
        "<urlopen error [Errno -2] Name or service not known>": "init_cfg.checkpoint",
        "CUDA error: no kernel image is available for execution on the device": "CUDA_VISIBLE_DEVICES=",
    }.items():
        problem = host.explain(ImportError(message))
        assert re.search(fix, problem.fix)
        assert "\n" not in str(problem)
        assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in problem.fix  # it would run the code of any checkpoint
    assert host.explain("something else entirely") is None


def test_a_broken_import_is_one_sentence(monkeypatch, capsys, recwarn):
    def broken(name):
        print("Could not import OneDL")
        if name == missing:
            raise error
        return real(name)

    real = host.importlib.import_module
    monkeypatch.setattr(host.importlib, "import_module", broken)
    missing, error = "torch", OSError("broken")
    with pytest.raises(host.HostError, match=r"^torch does not import \(broken\): follow 'Install'"):
        host.require()
    missing, error = "mmcv._ext", ModuleNotFoundError("No module named 'mmcv._ext'")
    with pytest.raises(host.HostError, match=r"^mmcv has no compiled operators"):
        host.require()
    assert capsys.readouterr().out == ""
    assert not recwarn


COMMAND_LINE = (  # what reads the command line
    "attr attrs cyclopts docstring_parser docutils eval_type_backport markdown_it mdurl pygments rich rich_rst tomli "
    "typing_extensions.py"
)


def test_without_the_host_import_is_one_sentence_and_check_env_runs(tmp_path):
    """An interpreter without site-packages has none of the host packages."""
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tfpose_mm"
    failed = subprocess.run([sys.executable, "-I", "-S", "-c", setup], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    start = "tfpose_mm.host.requirements.HostError: tfpose_mm needs torch>=2.1,<3 for torch, but none is installed"
    assert failed.stderr.strip().splitlines()[-1].startswith(start)
    site = Path(cyclopts.__file__).parents[1]
    for name in COMMAND_LINE.split():
        if (site / name).exists():
            (tmp_path / name).symlink_to(site / name)
    command = [sys.executable, "-S", "-m", "tfpose_mm", "check-env"]
    env = {"PYTHONPATH": str(tmp_path)}
    checked = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert checked.stdout.count("PROBLEM") == len(host.REQUIRED)
    assert "Traceback" not in checked.stderr


def test_ranges_and_pins_agree():
    """pyproject.toml, the check at import and the pinned versions agree; pip installs no host package."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = pinned_versions()
    for ranges in host.REQUIRED.values():
        for package, (low, high) in ranges.items():
            assert f'"{package}>={low},<{high}' in project
            for version in pins[package]:
                assert host.parse_version(low) <= host.parse_version(version) < host.parse_version(high)
    named = [path.read_text(encoding="utf-8") for path in (ROOT / "tfpose_mm").rglob("*.py")]
    for package, version in re.findall(r"\b((?:onedl-)?mm[a-z]+|xtcocotools)==(\d[\d.]*\d)", "".join(named)):
        assert version in pins[package], package
    dependencies = re.search(r"^dependencies = \[(.*?)\]", project, re.M | re.S).group(1)
    assert not re.search(r'^ *"(onedl-)?mm', dependencies, re.M)  # pip would put mmcv over the files of onedl-mmcv


def test_a_config_passes_the_sentence_on(monkeypatch):
    """MMEngine hides the message of an ImportError from custom_imports; ours must reach the user of mim."""
    install(monkeypatch, {**CLASSIC, "mmdet": None})
    ours = [name for name in sys.modules if name.split(".")[0] == "tfpose_mm"]
    for name in [name for name in ours if not name.startswith("tfpose_mm.host")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(host.HostError, match="for mmdet, but none is installed"):
        Config.fromfile(str(ROOT / "configs/tfpose_r50_coco_256x192.py"))
