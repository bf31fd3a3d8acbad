"""The versions that tfpose_mm needs, known issues of its host packages and how to fix them.

Standard library only: this module must work when no other package does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

INSTALL = "follow 'Install' in the README, or run 'make env' in a clone"

# import name: the distributions that provide it, each with the lowest supported version and the first unsupported one.
# The onedl distributions are maintained forks of OpenMMLab's. pyproject.toml has the same ranges.
REQUIRED = {
    "torch": {"torch": ("2.1", "3")},
    "mmengine": {"mmengine": ("0.10", "1"), "onedl-mmengine": ("0.10.12", "1")},
    "mmcv": {"mmcv": ("2.1", "2.2"), "onedl-mmcv": ("2.3.6", "3")},
    "mmdet": {"mmdet": ("3.1", "4"), "onedl-mmdetection": ("3.5.1", "4")},
    "mmpose": {"mmpose": ("1.3", "2")},
}
OTHERS = ("torchvision", "numpy", "opencv-python", "opencv-python-headless", "xtcocotools", "safetensors", "setuptools")
IMPORTS = (
    *("torch", "cv2", "mmcv", "mmcv._ext", "mmdet.models", "mmdet.evaluation", "xtcocotools.coco", "safetensors"),
    "mmpose.models",
)


class Problem(NamedTuple):
    """Something that does not work, and how to fix it."""

    what: str
    fix: str

    def __str__(self) -> str:
        """One sentence for the user."""
        return f"{self.what}: {self.fix}."


# regular expression that the error message matches, and the problem
KNOWN_ISSUES = {
    r"mmcv\._ext|mmcv[^ ]*\.so.*undefined symbol|undefined symbol.*(c10|torch)": Problem(
        "mmcv has no compiled operators for this torch (mmcv-lite, or a build for another torch)",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-build-isolation onedl-mmcv==2.3.6, or mmcv==2.1.0 "
        "with torch 2.1",
    ),
    r"numpy\.(dtype|ndarray) size changed|compiled using NumPy 1\.x|_ARRAY_API not found": Problem(
        "a package was built against another numpy",
        "pip install --no-cache-dir --force-reinstall --no-deps --no-binary xtcocotools xtcocotools==1.14.3, or, if it "
        "is another package, pip install 'numpy<2' 'opencv-python<4.12'",
    ),
    r"No module named 'xtcocotools'": Problem(
        "xtcocotools is not installed; it does not build on Python 3.13",
        "import tfpose_mm before mmpose: it puts a module with pycocotools in its place",
    ),
    r"No module named 'pkg_resources'": Problem(
        "setuptools no longer has pkg_resources, which mim and mmengine import", "pip install 'setuptools<82'"
    ),
    r"libGL\.so|libgthread|libglib": Problem(
        "OpenCV needs a system library",
        "apt-get install libgl1 libglib2.0-0, or install opencv-python-headless in the version of opencv-python",
    ),
    r"urlopen error|Name or service not known|Max retries exceeded": Problem(
        "a file cannot be downloaded, as the backbone's weights that a training begins with",
        "download it elsewhere and set model.backbone.init_cfg.checkpoint to its path, or set "
        "model.backbone.init_cfg=None to begin with random weights",
    ),
    r"Unsupported global|weights_only": Problem(
        "torch 2.6 and later refuse MMEngine's training checkpoints",
        "import tfpose_mm.safe_loading first, or name it in the config's custom_imports: it runs no code in them",
    ),
    r"no kernel image is available|not compatible with the current PyTorch|no NVIDIA driver|driver .* too old": Problem(
        "this torch does not fit the GPU or its driver",
        "install a torch and mmcv for it, or run on the CPU with CUDA_VISIBLE_DEVICES= before the command",
    ),
}


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
    for names in [*REQUIRED.values(), *([name] for name in OTHERS)]:
        found = {name: version for name in names if (version := installed_version(name))}
        versions.update(found or {next(iter(names)): "not installed"})
    return versions


def explain(error: BaseException | str) -> Problem | None:
    """What is wrong, and its fix, if the error or its message is one of the known issues; otherwise ``None``."""
    return next((problem for pattern, problem in KNOWN_ISSUES.items() if re.search(pattern, str(error))), None)


def check_versions() -> list[Problem]:
    """Required packages that are missing, installed twice or outside their range."""
    problems = []
    for module, ranges in REQUIRED.items():
        found = {name: version for name in ranges if (version := installed_version(name))}
        in_range = [
            parse_version(low) <= parse_version(found[name]) < parse_version(high)
            for name, (low, high) in ranges.items()
            if name in found
        ]
        if in_range != [True]:
            needed = " or ".join(f"{name}>={low},<{high}" for name, (low, high) in ranges.items())
            have = " and ".join(f"{name} {version}" for name, version in found.items()) or "none"
            alone = ", only one of them, as they have the same files" if len(found) > 1 else ""
            problems.append(Problem(f"tfpose_mm needs {needed} for {module}{alone}, but {have} is installed", INSTALL))
    return problems


def check_imports(modules: Sequence[str] = IMPORTS) -> list[Problem]:
    """Import modules in order, without what they print; the problem of the first that fails, or an empty list."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.suppress(ImportError):  # without pycocotools the import of mmdet says what is missing
            from .xtcocotools import stand_in

            stand_in()
        for module in modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # a broken binary raises any kind of error
                return [explain(error) or Problem(f"{module} does not import ({error})", INSTALL)]
    return []


def require() -> None:
    """Check the host packages.

    Raises:
        HostError: With one sentence that says what is wrong and how to fix it.
    """
    problems = check_versions() or check_imports()
    if problems:
        raise HostError(str(problems[0]))
