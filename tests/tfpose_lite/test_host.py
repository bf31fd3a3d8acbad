from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from tfpose_lite import host

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "numbers"), [("2.1.0", (2, 1, 0)), ("2.0.0rc4", (2, 0, 0)), ("2.1.2+cu121", (2, 1, 2)), ("dev", ())]
)
def test_parse_version(text, numbers):
    assert host.parse_version(text) == numbers


def test_this_host_is_fine():
    assert host.check_versions() == []
    assert host.check_imports() == []


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        (dict(mmcv=None), r"needs mmcv>=2\.0,<2\.2, but mmcv is not installed: run 'mim install mmcv==2\.1\.0'"),
        (dict(mmcv="2.2.0"), r"needs mmcv>=2\.0,<2\.2, but 2\.2\.0 is installed"),
        (dict(mmpose="0.29.0"), r"needs mmpose>=1\.3,<2, but 0\.29\.0 is installed: run 'mim install mmpose==1\.3\.2'"),
        (dict(mmdet=None), r"needs mmdet>=3\.1,<4, but mmdet is not installed"),
        (dict(torch=None), r"needs torch>=2\.0,<3, but torch is not installed: follow 'Install'"),
    ],
)
def test_a_wrong_host_is_one_sentence(monkeypatch, versions, message):
    real = host.installed_version
    monkeypatch.setattr(host, "installed_version", lambda name: versions.get(name, real(name)))
    if list(versions.values()) == [None]:
        monkeypatch.setattr(host, "installed_version", lambda name: None if name in versions else real(name))
    with pytest.raises(host.HostError, match=message) as caught:
        host.require()
    assert "\n" not in str(caught.value)


def test_mmcv_lite_is_recognised(monkeypatch):
    versions = {"mmcv": None, "mmcv-lite": "2.1.0"}
    real = host.installed_version
    monkeypatch.setattr(host, "installed_version", lambda name: versions[name] if name in versions else real(name))
    assert "mmcv-lite is installed, which has no operators" in str(host.check_versions()[0])


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("No module named 'mmcv._ext'", "mim install mmcv==2.1.0"),
        ("/x/mmcv/_ext.cpython-311.so: undefined symbol: _ZN3c10ng", "--no-cache-dir"),
        ("MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.", "mim install mmcv==2.1.0"),
        ("No module named 'mmdet'", "mim install 'mmdet"),
        ("numpy.dtype size changed, may indicate binary incompatibility", "numpy<2"),
        ("module 'numpy' has no attribute 'NPY_OWNDATA'", "numpy<2"),
        ("No module named 'pkg_resources'", "setuptools<70"),
        ("operator torchvision::nms does not exist", "same index"),
        ("libGL.so.1: cannot open shared object file", "apt-get install libgl1"),
        (
            "Unsupported global: GLOBAL mmengine.logging.history_buffer.HistoryBuffer",
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
        ),
        ("No module named 'pip'", "--no-build-isolation chumpy"),
    ],
)
def test_known_issues_have_a_fix(message, fix):
    assert fix in host.explain(ImportError(message)).fix


def test_unknown_failures_are_not_explained_away():
    assert host.explain("something else entirely") is None


def test_a_broken_import_is_one_problem(monkeypatch):
    def broken(name):
        raise OSError(f"cannot load {name}")

    monkeypatch.setattr(host.importlib, "import_module", broken)
    assert [str(problem) for problem in host.check_imports()] == [
        f"torch does not import (cannot load torch): {host.INSTALL}."
    ]


def test_hazards(monkeypatch):
    versions = dict(torch="2.11.0+cu130", numpy="2.5.2", setuptools="60.2.0")
    monkeypatch.setattr(host, "installed_version", versions.get)
    assert [hazard.what.split(":")[0] for hazard in host.check_hazards()] == ["torch 2.11.0+cu130", "numpy 2.5.2"]


def test_without_the_host_import_is_one_sentence_and_check_env_runs():
    """An interpreter without site-packages has none of the host packages."""
    bare = [sys.executable, "-I", "-S"]
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    failed = subprocess.run([*bare, "-c", setup + "import tfpose_mm"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    sentence = failed.stderr.strip().splitlines()[-1]
    assert sentence.startswith("tfpose_lite.host.HostError: tfpose_mm needs torch>=2.0,<3, but torch is not installed")
    checked = subprocess.run(
        [sys.executable, "-S", "-m", "tfpose_lite.check_env"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert checked.stdout.count("PROBLEM") == len(host.REQUIRED)
    assert "mim install mmcv==2.1.0" in checked.stdout
    assert "Traceback" not in checked.stderr


def test_ranges_and_pins_agree():
    """pyproject.toml, the check at import and constraints.txt agree."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    for package, (low, high) in host.REQUIRED.items():
        assert f'"{package}>={low},<{high}"' in project
        assert host.parse_version(low) <= host.parse_version(pins[package]) < host.parse_version(high)
    named = [
        path.read_text(encoding="utf-8")
        for path in (*(ROOT / "tfpose_mm").rglob("*.py"), *(ROOT / "tfpose_lite").rglob("*.py"))
    ]
    for package, version in re.findall(r"\b(mmcv|mmdet|mmpose|xtcocotools|chumpy)==([\d.]+)", "".join(named)):
        assert pins[package] == version


def test_a_config_passes_the_sentence_on(monkeypatch):
    """MMEngine hides the message of an ImportError from custom_imports; ours must reach the user of mim."""
    real = host.installed_version
    monkeypatch.setattr(host, "installed_version", lambda name: None if name == "mmdet" else real(name))
    for name in [name for name in sys.modules if name.split(".")[0] == "tfpose_mm"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(host.HostError, match=r"mmdet is not installed: run 'mim install mmdet==3\.3\.0'"):
        Config.fromfile(str(ROOT / "configs/tfpose_r50_coco_256x192.py"))
