"""What tfpose_mm needs of its host packages, what breaks in them, and what to do about it.

Standard library only: this module must work when nothing else does.
"""

from __future__ import annotations

import importlib
import re
import sys
from importlib import metadata
from typing import NamedTuple, Sequence

INSTALL = "follow 'Install' in the README, or run 'make env' in a clone"
OLDER_SETUPTOOLS = "pip install 'setuptools<70'"
TRUST_CHECKPOINTS = "export TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1, for checkpoints that you trust"
CUDA_BUILD = "mim install mmcv==2.1.0 in an environment of your own, as the README shows"

# name on PyPI: (lowest version, first version that no longer works); the same ranges as in pyproject.toml
REQUIRED = {
    "torch": ("1.13", "3"),
    "mmengine": ("0.10", "1"),
    "mmcv": ("2.0", "2.2"),
    "mmdet": ("3.1", "4"),
    "mmpose": ("1.3", "2"),
}
REPORTED = (*REQUIRED, "torchvision", "numpy", "opencv-python", "xtcocotools", "setuptools", "openmim", "chumpy")

IMPORTS = ("torch", "cv2", "mmcv", "mmcv._ext", "mmdet.models", "xtcocotools.coco", "mmpose.models")


class Problem(NamedTuple):
    """Something that does not work, and the one line that mends it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        """One sentence for the user."""
        return f"{self.what}: {self.remedy}."


class Trap(NamedTuple):
    """A known failure of the host packages."""

    pattern: str  # searched in the error message, regular expression
    what: str
    remedy: str


TRAPS = (
    Trap(
        r"mmcv\._ext",
        "mmcv has no compiled operators (mmcv-lite, or a build for another torch)",
        "pip uninstall -y mmcv mmcv-lite && mim install mmcv==2.1.0",
    ),
    Trap(
        r"mmcv[^ ]*\.so.*undefined symbol|undefined symbol.*(c10|torch)",
        "mmcv's operators were built for another torch",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-build-isolation mmcv==2.1.0",
    ),
    Trap(r"MMCV==.* is used but incompatible", "mmdet refuses this mmcv", "mim install mmcv==2.1.0"),
    Trap(
        r"No module named 'mmdet'",
        "mmpose.models needs mmdet",
        "mim install 'mmdet>={},<{}'".format(*REQUIRED["mmdet"]),
    ),
    Trap(
        r"numpy\.(dtype|ndarray) size changed|NPY_OWNDATA",
        "xtcocotools was built against another numpy",
        "pip install 'numpy<2' xtcocotools==1.14.3",
    ),
    Trap(
        r"compiled using NumPy 1\.x|_ARRAY_API not found",
        "a package was built for numpy 1, but numpy 2 is installed",
        "pip install 'numpy<2' 'opencv-python<4.12'",
    ),
    Trap(
        r"No module named 'pkg_resources'",
        "setuptools no longer has pkg_resources, which mim and mmengine import",
        OLDER_SETUPTOOLS,
    ),
    Trap(
        r"torchvision::nms does not exist",
        "torch and torchvision come from different builds (CPU and CUDA)",
        "install both from the same index, as in pip install torch==2.1.2 torchvision==0.16.2",
    ),
    Trap(
        r"libGL\.so|libgthread|libglib",
        "OpenCV misses a system library",
        "apt-get install libgl1 libglib2.0-0, or pip install opencv-python-headless==4.11.0.86",
    ),
    Trap(
        r"Unsupported global|weights_only",
        "torch 2.6 and later refuse MMEngine's training checkpoints",
        TRUST_CHECKPOINTS,
    ),
    Trap(
        r"no kernel image is available|not compatible with the current PyTorch",
        "this torch has no code for this GPU",
        "install a newer torch with mmcv built for it, or run on the CPU with CUDA_VISIBLE_DEVICES= before the command",
    ),
    Trap(
        r"no NVIDIA driver|driver .* too old|CUDA driver version is insufficient",
        "the GPU's driver does not fit this torch",
        "update the driver, or run on the CPU with CUDA_VISIBLE_DEVICES= before the command",
    ),
    Trap(
        r"No module named 'pip'",
        "chumpy's build imports pip",
        "pip install --no-build-isolation chumpy==0.70 before mmpose",
    ),
)

# package, first version that is affected, what fails later, remedy
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
    """A host package is missing or wrong; the message names the remedy.

    Not an ``ImportError``: MMEngine replaces the message of those that a config's ``custom_imports`` raise.
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
    """Look an error up among the known traps.

    Args:
        error: The exception, or its message.

    Returns:
        What is wrong and its remedy, or ``None`` if the error is not a known one.
    """
    message = str(error)
    for trap in TRAPS:
        if re.search(trap.pattern, message):
            return Problem(trap.what, trap.remedy)
    return None


def check_versions() -> list[Problem]:
    """Required packages that are missing or outside their range."""
    problems = []
    for package, (low, high) in REQUIRED.items():
        version = installed_version(package)
        if version is None:
            lite = package == "mmcv" and installed_version("mmcv-lite")
            what = "mmcv-lite is installed, which has no operators" if lite else f"{package} is not installed"
            problems.append(Problem(f"tfpose_mm needs {package}>={low},<{high}, but {what}", _remedy(package)))
        elif not parse_version(low) <= parse_version(version) < parse_version(high):
            problems.append(
                Problem(f"tfpose_mm needs {package}>={low},<{high}, but {version} is installed", _remedy(package))
            )
    return problems


def check_imports(modules: Sequence[str] = IMPORTS) -> list[Problem]:
    """Import modules in order, up to the first that fails.

    Args:
        modules: Their names.

    Returns:
        What is wrong with the first that fails, or nothing.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # broken binaries raise anything, and the user needs the sentence
            return [explain(error) or Problem(f"{module} does not import ({error})", INSTALL)]
    return []


def check_hazards() -> list[Problem]:
    """Versions that import, but fail later; each with what fails."""
    hazards = []
    for package, first_bad, what, remedy in HAZARDS:
        version = installed_version(package)
        if version is not None and parse_version(version) >= parse_version(first_bad):
            hazards.append(Problem(f"{package} {version}: {what}", remedy))
    return hazards


def require() -> None:
    """Check the host packages.

    Raises:
        HostError: With one sentence that says what is wrong and how to mend it.
    """
    problems = check_versions() or check_imports()
    if problems:
        raise HostError(str(problems[0]))


def runs_check_env() -> bool:
    """Whether Python is starting ``python -m tfpose_mm.tools.check_env``, which must run on a broken host."""
    return sys.argv[:1] == ["-m"] and "tfpose_mm.tools.check_env" in getattr(sys, "orig_argv", ())


def _remedy(package: str) -> str:
    known_good = {"mmcv": "mmcv==2.1.0", "mmdet": "mmdet==3.3.0", "mmpose": "mmpose==1.3.2"}.get(package)
    if known_good:
        return f"run 'mim install {known_good}', or {INSTALL}"
    return INSTALL
