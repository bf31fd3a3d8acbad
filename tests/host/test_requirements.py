from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import cyclopts
import pytest
from mmengine.config import Config

from tests.helpers.paths import ROOT, pinned_versions
from tfpose_mm.host import requirements as host


@pytest.mark.parametrize(
    ("text", "numbers"), [("2.1.0", (2, 1, 0)), ("2.0.0rc4", (2, 0, 0)), ("2.1.2+cu121", (2, 1, 2)), ("dev", ())]
)
def test_parse_version(text, numbers):
    assert host.parse_version(text) == numbers


def test_this_host_is_fine():
    assert host.check_versions() == []
    assert host.check_imports() == []


CLASSIC = dict(torch="2.1.2", mmengine="0.10.7", mmcv="2.1.0", mmdet="3.3.0", mmpose="1.3.2", setuptools="60.2.0")
MODERN = {
    "torch": "2.13.0",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
    "mmpose": "1.3.2",
    "openmim": "0.3.9",
    "setuptools": "81.0.0",
}


def install(monkeypatch, versions):
    monkeypatch.setattr(host, "installed_version", versions.get)


@pytest.mark.parametrize("versions", [CLASSIC, MODERN])
def test_both_sets_are_fine(monkeypatch, versions):
    install(monkeypatch, versions)
    assert host.check_versions() == []
    assert host.check_hazards() == []
    assert set(versions) - {"openmim"} <= set(host.list_versions())


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (
            CLASSIC,
            dict(mmcv=None),
            r"needs mmcv>=2\.1,<2\.2 or onedl-mmcv>=2\.3\.6,<3, but mmcv is not installed: "
            r"run 'mim install mmcv==2\.1\.0'",
        ),
        (
            MODERN,
            {"onedl-mmcv": None},
            r"but mmcv is not installed: run 'pip install --no-build-isolation onedl-mmcv==",
        ),
        (MODERN, {"onedl-mmengine": None}, r"run 'pip install onedl-mmengine==0\.10\.12'"),
        (CLASSIC, dict(mmcv="2.2.0"), r"needs mmcv>=2\.1,<2\.2, but 2\.2\.0 is installed"),
        (MODERN, {"onedl-mmcv": "2.2.9"}, r"needs onedl-mmcv>=2\.3\.6,<3, but 2\.2\.9 is installed"),
        (
            CLASSIC,
            dict(mmpose="0.29.0"),
            r"needs mmpose>=1\.3,<2, but 0\.29\.0 is installed: run 'mim install mmpose==1\.3\.2'",
        ),
        (
            CLASSIC,
            dict(mmdet=None),
            r"needs mmdet>=3\.1,<4 or onedl-mmdetection>=3\.5\.1,<4, but mmdet is not installed",
        ),
        (CLASSIC, dict(torch=None), r"needs torch>=2\.1,<3, but torch is not installed: follow 'Install'"),
        (CLASSIC, dict(torch="2.0.1"), r"needs torch>=2\.1,<3, but 2\.0\.1 is installed: follow 'Install'"),
        (
            MODERN,
            dict(mmcv="2.1.0"),
            r"needs one of these packages, but mmcv 2\.1\.0 and onedl-mmcv 2\.3\.6 are installed and overwrite each "
            r"other's files: run 'pip uninstall -y mmcv onedl-mmcv', then install one of them again\.",
        ),
        (CLASSIC, {"onedl-mmdetection": "3.5.1"}, r"but mmdet 3\.3\.0 and onedl-mmdetection 3\.5\.1 are installed"),
        (MODERN, {"mmcv-lite": "2.1.0"}, r"but onedl-mmcv 2\.3\.6 and mmcv-lite 2\.1\.0 are installed"),
        (CLASSIC, {"mmcv": None, "mmcv-lite": "2.1.0"}, "but mmcv-lite is installed, which has no operators"),
    ],
)
def test_a_wrong_host_is_one_sentence(monkeypatch, base, changes, message):
    install(monkeypatch, {**base, **changes})
    with pytest.raises(host.HostError, match=message) as caught:
        host.require()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("No module named 'mmcv._ext'", "mim install mmcv==2.1.0"),
        ("/x/mmcv/_ext.cpython-311.so: undefined symbol: _ZN3c10ng", "--no-cache-dir"),
        ("MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.", "mim install mmcv==2.1.0"),
        ("No module named 'mmdet'", "pip install mmdet==3.3.0"),
        ("numpy.dtype size changed, may indicate binary incompatibility", "--no-binary xtcocotools"),
        ("No module named 'xtcocotools'", "import tfpose_mm before mmpose"),
        ("module 'numpy' has no attribute 'NPY_OWNDATA'", "import tfpose_mm first"),
        ("No module named 'pkg_resources'", "setuptools<82"),
        ("operator torchvision::nms does not exist", "same index"),
        ("libGL.so.1: cannot open shared object file", "apt-get install libgl1"),
        ("Unsupported global: GLOBAL mmengine.logging.history_buffer.HistoryBuffer", "import tfpose_mm.safe_loading"),
        ("No module named 'pip'", "--no-build-isolation chumpy"),
    ],
)
def test_known_issues_have_a_fix(message, fix):
    problem = host.explain(ImportError(message))
    assert fix in problem.fix
    assert "\n" not in str(problem)
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in problem.fix  # it would run the code of any checkpoint


def test_unknown_failures_are_not_explained_away():
    assert host.explain("something else entirely") is None


def test_a_broken_import_is_one_problem(monkeypatch):
    def broken(name):
        raise OSError(f"cannot load {name}")

    monkeypatch.setattr(host.importlib, "import_module", broken)
    assert [str(problem) for problem in host.check_imports()] == [
        f"torch does not import (cannot load torch): {host.INSTALL}."
    ]


def test_mmcv_without_operators_is_one_sentence(monkeypatch):
    real = host.importlib.import_module

    def without_operators(name):
        if name == "mmcv._ext":
            raise ModuleNotFoundError("No module named 'mmcv._ext'")
        return real(name)

    monkeypatch.setattr(host.importlib, "import_module", without_operators)
    with pytest.raises(
        host.HostError, match=r"^mmcv has no compiled operators \(mmcv-lite, .*mim install mmcv==2\.1\.0"
    ):
        host.require()


def test_notes_of_a_host_package_are_left_out(monkeypatch, capsys, recwarn):
    def chatty(name):
        print("Could not import OneDL. Skipping OneDL datasets.\nsomething else")
        warnings.warn("faster_coco_eval is not installed, metrics will not be computed.", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(host.importlib, "import_module", chatty)
    assert host.check_imports(["mmdet"]) == []
    assert capsys.readouterr().out == "something else\n"
    assert [str(warning.message) for warning in recwarn] == ["something else"]


def test_hazards(monkeypatch):
    install(monkeypatch, dict(torch="2.16.0+cu130", setuptools="83.0", openmim="0.3.9"))
    assert [hazard.what.split(":")[0] for hazard in host.check_hazards()] == ["setuptools 83.0", "torch 2.16.0+cu130"]


# what reads the command line
COMMAND_LINE = "attr attrs cyclopts docstring_parser markdown_it mdurl pygments rich rich_rst typing_extensions.py"
COMMAND_LINE += " docutils eval_type_backport tomli"


def test_without_the_host_import_is_one_sentence_and_check_env_runs(tmp_path):
    """An interpreter without site-packages has none of the host packages."""
    bare = [sys.executable, "-I", "-S"]
    setup = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    failed = subprocess.run([*bare, "-c", setup + "import tfpose_mm"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    sentence = failed.stderr.strip().splitlines()[-1]
    assert sentence.startswith(
        "tfpose_mm.host.requirements.HostError: tfpose_mm needs torch>=2.1,<3, but torch is not installed"
    )
    site = Path(cyclopts.__file__).parents[1]
    for name in COMMAND_LINE.split():
        if (site / name).exists():
            (tmp_path / name).symlink_to(site / name)
    checked = subprocess.run(
        [sys.executable, "-S", "-m", "tfpose_mm", "check-env"],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert checked.stdout.count("PROBLEM") == len(host.REQUIRED)
    assert "mmcv>=2.1,<2.2 or onedl-mmcv>=2.3.6,<3, but mmcv is not installed" in checked.stdout
    assert "Traceback" not in checked.stderr


def test_ranges_and_pins_agree():
    """pyproject.toml, the check at import and the pinned versions agree."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = pinned_versions()
    for ranges in host.REQUIRED.values():
        for package, (low, high) in ranges.items():
            assert f'"{package}>={low},<{high}' in project
            for version in pins[package]:
                assert host.parse_version(low) <= host.parse_version(version) < host.parse_version(high)
    assert {host.parse_version(version)[:2] for version in pins["torch"]} >= {host.parse_version(host.TESTED_TORCH)}
    named = [path.read_text(encoding="utf-8") for path in (ROOT / "tfpose_mm").rglob("*.py")]
    pattern = r"\b((?:onedl-)?mm[a-z]+|xtcocotools)==(\d[\d.]*\d)"
    for package, version in re.findall(pattern, "".join(named)):
        assert version in pins[package], package


def test_installing_the_plugin_installs_no_host_package():
    """pip would put mmcv over the files of onedl-mmcv."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = re.search(r"^dependencies = \[(.*?)\]", project, re.M | re.S).group(1)
    assert re.findall(r'^ *"([\w-]+)', dependencies, re.M) == [
        "torch",
        "numpy",
        "scipy",
        "safetensors",
        "jinja2",
        "tqdm",
        "cyclopts",
        "eval-type-backport",
    ]


def test_a_config_passes_the_sentence_on(monkeypatch):
    """MMEngine hides the message of an ImportError from custom_imports; ours must reach the user of mim."""
    install(monkeypatch, {**CLASSIC, "mmdet": None})
    ours = [name for name in sys.modules if name.split(".")[0] == "tfpose_mm"]
    for name in [name for name in ours if not name.startswith("tfpose_mm.host")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(host.HostError, match=r"mmdet is not installed: run 'mim install mmdet==3\.3\.0'"):
        Config.fromfile(str(ROOT / "configs/tfpose_r50_coco_256x192.py"))
