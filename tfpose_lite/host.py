"""The versions that tfpose_mm needs, known issues of its host packages and how to fix them.

Standard library only: this module must work when no other package does.
"""

from __future__ import annotations

import importlib
import re
from importlib import metadata
from typing import NamedTuple, Sequence

INSTALL = "follow 'Install' in the README, or run 'make env' in a clone"
OLDER_SETUPTOOLS = "pip install 'setuptools<70'"
TRUST_CHECKPOINTS = "export TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1, for checkpoints that you trust"
CUDA_BUILD = "mim install mmcv==2.1.0 in an environment of your own, as the README shows"

# name on PyPI: (lowest version, first version that no longer works); the same ranges as in pyproject.toml
REQUIRED = {
    "torch": ("2.0", "3"),
    "mmengine": ("0.10", "1"),
    "mmcv": ("2.0", "2.2"),
    "mmdet": ("3.1", "4"),
    "mmpose": ("1.3", "2"),
}
REPORTED = (*REQUIRED, "torchvision", "numpy", "opencv-python", "xtcocotools", "setuptools", "openmim", "chumpy")

IMPORTS = ("torch", "cv2", "mmcv", "mmcv._ext", "mmdet.models", "xtcocotools.coco", "mmpose.models")


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
        "pip uninstall -y mmcv mmcv-lite && mim install mmcv==2.1.0",
    ),
    KnownIssue(
        r"mmcv[^ ]*\.so.*undefined symbol|undefined symbol.*(c10|torch)",
        "mmcv's operators were built for another torch",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-build-isolation mmcv==2.1.0",
    ),
    KnownIssue(r"MMCV==.* is used but incompatible", "mmdet refuses this mmcv", "mim install mmcv==2.1.0"),
    KnownIssue(
        r"No module named 'mmdet'",
        "mmpose.models needs mmdet",
        "mim install 'mmdet>={},<{}'".format(*REQUIRED["mmdet"]),
    ),
    KnownIssue(
        r"numpy\.(dtype|ndarray) size changed|NPY_OWNDATA",
        "xtcocotools was built against another numpy",
        "pip install 'numpy<2' xtcocotools==1.14.3",
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
        "apt-get install libgl1 libglib2.0-0, or pip install opencv-python-headless==4.11.0.86",
    ),
    KnownIssue(
        r"Unsupported global|weights_only",
        "torch 2.6 and later refuse MMEngine's training checkpoints",
        TRUST_CHECKPOINTS,
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

# package, first affected version, what fails later, fix
HAZARDS = (
    (
        "torch",
        "2.6",
        "MMEngine's training checkpoints do not load or resume (weights_only)",
        TRUST_CHECKPOINTS,
    ),
    ("numpy", "2.4", "MMPose's drawing with OpenCV fails", "pip install 'numpy<2.4', or use backend='matplotlib'"),
    ("setuptools", "82", "mim does not start (No module named 'pkg_resources')", OLDER_SETUPTOOLS),
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
    """Required packages that are missing or outside their range."""
    problems = []
    for package, (low, high) in REQUIRED.items():
        version = installed_version(package)
        if version is None:
            lite = package == "mmcv" and installed_version("mmcv-lite")
            what = "mmcv-lite is installed, which has no operators" if lite else f"{package} is not installed"
            problems.append(Problem(f"tfpose_mm needs {package}>={low},<{high}, but {what}", _fix(package)))
        elif not parse_version(low) <= parse_version(version) < parse_version(high):
            problems.append(
                Problem(f"tfpose_mm needs {package}>={low},<{high}, but {version} is installed", _fix(package))
            )
    return problems


def check_imports(modules: Sequence[str] = IMPORTS) -> list[Problem]:
    """Import modules in order, until one fails.

    Args:
        modules: Their names.

    Returns:
        The problem of the module that fails, or an empty list.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken binary raises any kind of error
            return [explain(error) or Problem(f"{module} does not import ({error})", INSTALL)]
    return []


def check_hazards() -> list[Problem]:
    """Versions that import but fail later, each with what fails."""
    hazards = []
    for package, first_bad, what, fix in HAZARDS:
        version = installed_version(package)
        if version is not None and parse_version(version) >= parse_version(first_bad):
            hazards.append(Problem(f"{package} {version}: {what}", fix))
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
    known_good = {"mmcv": "mmcv==2.1.0", "mmdet": "mmdet==3.3.0", "mmpose": "mmpose==1.3.2"}.get(package)
    if known_good:
        return f"run 'mim install {known_good}', or {INSTALL}"
    return INSTALL
