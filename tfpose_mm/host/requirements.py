"""The versions that tfpose_mm needs, known issues of its host packages and how to fix them.

Standard library only: this module must work when no other package does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Generator, Iterable, Sequence
from importlib import metadata
from typing import NamedTuple

INSTALL = "follow 'Install' in the README, or run 'make env' in a clone"
OLDER_SETUPTOOLS = "pip install 'setuptools<82'"
CUDA_BUILD = "run 'make env CUDA=1' in a clone, or install an mmcv built with CUDA as docs/install.md shows"
ONEDL_MMCV = "pip install --no-cache-dir --force-reinstall --no-deps --no-build-isolation onedl-mmcv==2.3.6"

# import name: the distributions that provide it, each with the lowest supported version and the first unsupported one.
# The onedl distributions are maintained forks of OpenMMLab's. pyproject.toml has the same ranges.
REQUIRED = {
    "torch": {"torch": ("2.1", "3")},
    "mmengine": {"mmengine": ("0.10", "1"), "onedl-mmengine": ("0.10.12", "1")},
    "mmcv": {"mmcv": ("2.1", "2.2"), "onedl-mmcv": ("2.3.6", "3")},
    "mmdet": {"mmdet": ("3.1", "4"), "onedl-mmdetection": ("3.5.1", "4")},
    "mmpose": {"mmpose": ("1.3", "2")},
}
TESTED_TORCH = "2.13"  # the newest that passed the tests
OTHERS = (
    "torchvision",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "xtcocotools",
    "safetensors",
    "setuptools",
)

IMPORTS = (
    "torch",
    "cv2",
    "mmcv",
    "mmcv._ext",
    "mmdet.models",
    "mmdet.evaluation",
    "xtcocotools.coco",
    "safetensors",
    "mmpose.models",
)


class Problem(NamedTuple):
    """Something that does not work, and how to fix it."""

    what: str
    fix: str

    def __str__(self) -> str:
        """One sentence for the user."""
        return f"{self.what}: {self.fix}."


class KnownIssue(NamedTuple):
    """A known issue of the host packages."""

    pattern: str  # regular expression that the error message matches
    what: str
    fix: str


KNOWN_ISSUES = (
    KnownIssue(
        r"mmcv\._ext",
        "mmcv has no compiled operators (mmcv-lite, or a build for another torch)",
        f"with torch 2.1, pip uninstall -y mmcv mmcv-lite && mim install mmcv==2.1.0; with a newer torch, {ONEDL_MMCV}",
    ),
    KnownIssue(
        r"mmcv[^ ]*\.so.*undefined symbol|undefined symbol.*(c10|torch)",
        "mmcv's operators were built for another torch",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-build-isolation mmcv==2.1.0, or onedl-mmcv==2.3.6 "
        "if that is installed",
    ),
    KnownIssue(
        r"MMCV==.* is used but incompatible",
        "mmdet refuses this mmcv",
        "mim install mmcv==2.1.0, or use onedl-mmcv with onedl-mmdetection",
    ),
    KnownIssue(
        r"No module named 'mmdet'",
        "mmpose.models needs mmdet",
        "pip install mmdet==3.3.0, or onedl-mmdetection==3.5.1 beside onedl-mmcv",
    ),
    KnownIssue(
        r"numpy\.(dtype|ndarray) size changed",
        "xtcocotools was built against another numpy",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-binary xtcocotools xtcocotools==1.14.3",
    ),
    KnownIssue(
        r"No module named 'xtcocotools'",
        "xtcocotools is not installed; it does not build on Python 3.13",
        "import tfpose_mm before mmpose: it puts a module with pycocotools in its place",
    ),
    KnownIssue(
        r"NPY_OWNDATA",
        "xtcocotools.mask does not work with numpy 2",
        "import tfpose_mm first, which replaces these functions with those of pycocotools",
    ),
    KnownIssue(
        r"compiled using NumPy 1\.x|_ARRAY_API not found",
        "a package was built for numpy 1, but numpy 2 is installed",
        "pip install 'numpy<2' 'opencv-python<4.12'",
    ),
    KnownIssue(
        r"No module named 'pkg_resources'",
        "setuptools no longer has pkg_resources, which mim and mmengine import",
        OLDER_SETUPTOOLS,
    ),
    KnownIssue(
        r"torchvision::nms does not exist",
        "torch and torchvision come from different builds (CPU and CUDA)",
        "install both from the same index, as in pip install torch==2.1.2 torchvision==0.16.2",
    ),
    KnownIssue(
        r"libGL\.so|libgthread|libglib",
        "OpenCV needs a system library",
        "apt-get install libgl1 libglib2.0-0, or install opencv-python-headless in the version of opencv-python",
    ),
    KnownIssue(
        r"Unsupported global|weights_only",
        "torch 2.6 and later refuse MMEngine's training checkpoints",
        "import tfpose_mm.safe_loading first, or name it in the config's custom_imports: it runs no code in them",
    ),
    KnownIssue(
        r"no kernel image is available|not compatible with the current PyTorch",
        "this torch has no code for this GPU",
        "install a newer torch with mmcv built for it, or run on the CPU with CUDA_VISIBLE_DEVICES= before the command",
    ),
    KnownIssue(
        r"no NVIDIA driver|driver .* too old|CUDA driver version is insufficient",
        "the GPU's driver does not fit this torch",
        "update the driver, or run on the CPU with CUDA_VISIBLE_DEVICES= before the command",
    ),
    KnownIssue(
        r"No module named 'pip'",
        "chumpy's build imports pip",
        "pip install --no-build-isolation chumpy==0.70 before mmpose",
    ),
)


class HostError(RuntimeError):
    """A host package is missing or has the wrong version; the message names the fix.

    It is not an ``ImportError``: MMEngine replaces the message of an ``ImportError`` from ``custom_imports``.
    """


def parse_version(text: str) -> tuple[int, ...]:
    """``"2.1.0rc1+cu121"`` to ``(2, 1, 0)``: the leading numbers, enough for range checks."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in numbers.group().split(".")) if numbers else ()


def installed_version(package: str) -> str | None:
    """The installed version of a distribution, or ``None``."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def list_versions() -> dict[str, str]:
    """Names of the required and other important distributions, with their installed versions."""
    versions = {}
    for module, ranges in REQUIRED.items():
        versions.update(_installed(ranges) or {module: "not installed"})
    versions.update({name: installed_version(name) or "not installed" for name in OTHERS})
    return versions


def explain(error: BaseException | str) -> Problem | None:
    """Look up an error in the known issues.

    Args:
        error: The exception, or its message.

    Returns:
        What is wrong and its fix, or ``None`` if the error is not a known one.
    """
    message = str(error)
    for issue in KNOWN_ISSUES:
        if re.search(issue.pattern, message):
            return Problem(issue.what, issue.fix)
    return None


def check_versions() -> list[Problem]:
    """Required packages that are missing, installed twice or outside their range."""
    problems = []
    for module, ranges in REQUIRED.items():
        found = _installed(ranges)
        same_files = {**found, **(_installed(["mmcv-lite"]) if module == "mmcv" else {})}
        if found and len(same_files) > 1:
            problems.append(_installed_twice(same_files))
        elif not found:
            problems.append(_missing(module))
        else:
            ((name, version),) = found.items()
            low, high = ranges[name]
            if not parse_version(low) <= parse_version(version) < parse_version(high):
                what = f"tfpose_mm needs {name}>={low},<{high}, but {version} is installed"
                problems.append(Problem(what, _fix(name)))
    return problems


def _installed(names: Iterable[str]) -> dict[str, str]:
    return {name: version for name in names if (version := installed_version(name)) is not None}


def _installed_twice(found: dict[str, str]) -> Problem:
    both = " and ".join(f"{name} {version}" for name, version in found.items())
    what = f"tfpose_mm needs one of these packages, but {both} are installed and overwrite each other's files"
    return Problem(what, f"run 'pip uninstall -y {' '.join(found)}', then install one of them again")


def _missing(module: str) -> Problem:
    names = " or ".join(f"{name}>={low},<{high}" for name, (low, high) in REQUIRED[module].items())
    lite = module == "mmcv" and installed_version("mmcv-lite")
    what = "mmcv-lite is installed, which has no operators" if lite else f"{module} is not installed"
    return Problem(f"tfpose_mm needs {names}, but {what}", _fix(module))


def check_imports(modules: Sequence[str] = IMPORTS) -> list[Problem]:
    """Import modules in order, until one fails.

    Args:
        modules: Their names.

    Returns:
        The problem of the module that fails, or an empty list.
    """
    with _without_notes():
        with contextlib.suppress(ImportError):  # without pycocotools the import of mmdet says what is missing
            from .xtcocotools import stand_in

            stand_in()
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # a broken binary raises any kind of error
                return [explain(error) or Problem(f"{module} does not import ({error})", INSTALL)]
    return []


@contextlib.contextmanager
def _without_notes() -> Generator[None, None, None]:
    """Hide messages that onedl-mmdetection prints at import: about optional packages and about its docstrings."""
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
            warnings.filterwarnings("ignore", "faster_coco_eval is not installed")
            warnings.simplefilter("ignore", SyntaxWarning)  # escape sequences in docstrings of mmdet
            yield
    finally:
        for line in printed.getvalue().splitlines():
            if "Could not import OneDL" not in line:
                print(line)


def check_hazards() -> list[Problem]:
    """Versions that import but fail later or were never tested, each with what to do."""
    hazards = []
    setuptools, torch = installed_version("setuptools"), installed_version("torch")
    if installed_version("openmim") and setuptools and parse_version(setuptools) >= (82,):
        what = f"setuptools {setuptools}: mim does not start (No module named 'pkg_resources')"
        hazards.append(Problem(what, OLDER_SETUPTOOLS))
    if torch and parse_version(torch)[:2] > parse_version(TESTED_TORCH):
        what = f"torch {torch}: the newest version that tfpose_mm was tested with is {TESTED_TORCH}"
        hazards.append(Problem(what, "run 'make test' in a clone before you rely on it"))
    return hazards


def require() -> None:
    """Check the host packages.

    Raises:
        HostError: With one sentence that says what is wrong and how to fix it.
    """
    problems = check_versions() or check_imports()
    if problems:
        raise HostError(str(problems[0]))


def _fix(package: str) -> str:
    torch = installed_version("torch")
    known_good = {
        "mmengine": "onedl-mmengine==0.10.12",
        "mmcv": "--no-build-isolation onedl-mmcv==2.3.6",
        "mmdet": "onedl-mmdetection==3.5.1",
        "mmpose": "--no-deps mmpose==1.3.2",
    }
    if torch and parse_version(torch) < (2, 2):  # OpenMMLab has no mmcv 2.1.0 for newer versions
        known_good = {"mmcv": "mmcv==2.1.0", "mmdet": "mmdet==3.3.0", "mmpose": "mmpose==1.3.2"}
        return f"run 'mim install {known_good[package]}', or {INSTALL}" if package in known_good else INSTALL
    return f"run 'pip install {known_good[package]}', or {INSTALL}" if torch and package in known_good else INSTALL
