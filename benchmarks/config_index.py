"""Write configs/README.md and model-index.yml, which list every config of configs/.

Purpose and input size come from the config, parameters and GFLOPs are counted.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from benchmarks.command_line import make_parser
from tfpose_mm.comparison.complexity import Complexity, count_complexity
from tfpose_mm.tables import markdown_table

from .paper import TABLES
from .paper_tables import RESULTS as TESTED
from .paper_tables import measured_ap

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
PAGE = CONFIGS / "README.md"
MODEL_INDEX = ROOT / "model-index.yml"
MAIN = "tfpose_r50_coco_256x192.py"

DATASETS = {  # the part of a config's name: the dataset
    "coco": "COCO",
    "mpii": "MPII",
    "lspet": "Leeds Sports Pose Extended",
    "synthetic": "synthetic images",
}
METHODS = {  # the head: the collection in model-index.yml, by MMPose's names
    "TFPoseHead": "TFPose",
    "RLEHead": "RLE",
    "SimCCHead": "SimCC",
    "HeatmapHead": "SimpleBaseline2D",
}
PAPERS = {
    "TFPose": dict(
        Title="TFPose: Direct Human Pose Estimation with Transformers", URL="https://arxiv.org/abs/2103.15320"
    ),
}
PAPER_MPII = {"tfpose_r50_mpii_256x256.py": "90.4 PCKh@0.5"}  # Table 7, MPII's test set
DEMO = {"tfpose_tiny_synthetic_128x96.py": ("AP", 0.892)}  # printed by make demo, 300 images

HEADER = """\
# Configs

Made by `python -m benchmarks.config_index`; do not edit.

- **input size** is height x width.
- **params** (millions) and **GFLOPs** are counted for one image in inference. GFLOPs are MACs / 10^9, as in the paper.
- **paper** is what the paper reports, in per cent: AP on COCO val2017, AP on test-dev2017 for the `_testdev` configs,
  PCKh@0.5 on the test set of MPII. Table numbers are the paper's.
- **measured** is what was measured with this code.

N_E is the number of encoder layers, N_D the number of decoder layers and C the number of channels. C2 to C5 are the
feature maps of ResNet with strides 4, 8, 16 and 32. Query-to-query attention (q2q) is the self-attention of the
keypoint queries. The auxiliary branch is not counted. The main config is `tfpose_r50_coco_256x192.py`: ResNet-50,
C3 to C5, N_E 6, N_D 6, C 256.

An installed package lists the same configs with `mim search tfpose_mm`.
"""
# title, note, folders under configs (or datasets, for configs in no folder), text that the note makes redundant in rows
GROUPS = (
    (
        "TFPose on COCO and MPII",
        '"N_D" in Tables 5 and 6 of the paper is the number of encoder layers, which is N_E here.',
        ("coco", "mpii"),
        "",
    ),
    (
        "Ablations",
        "The main config with ResNet-18: N_E 6, N_D 6, C 256 and C3 to C5 unless the row says otherwise.",
        ("ablations",),
        "ResNet-18, ",
    ),
    (
        "Other backbones and heads",
        "The main config with another backbone or another head. Those with TFPose's deformable neck have ResNet-50.\n"
        "The ViT config is not counted without mmpretrain.",
        ("swaps",),
        " (ResNet-50)",
    ),
    (
        "Other methods on COCO",
        "MMPose's own configs with the backbone, data, augmentation and schedule of the main config.",
        ("peers",),
        " with the backbone, data, augmentation and schedule of the main config",
    ),
    (
        "Demo",
        "N_E 1, N_D 2, C 64. `make demo` trains it and prints AP on 300 validation images.",
        ("synthetic",),
        "",
    ),
    (
        "Example for your own data",
        "",
        ("lspet",),
        "",
    ),
)


class Result(NamedTuple):
    """A measured result: the metric's short name and its value."""

    metric: str
    value: float

    def __str__(self) -> str:
        """Format the result for the table."""
        return f"{self.metric} {self.value:.3f}"


class Entry(NamedTuple):
    """A config.

    Attributes:
        name: Its path under ``configs``.
        group: Its folder under ``configs``, or its dataset's part of the name if it is in none.
        purpose: The first line of its leading comment.
        size: Input size (h, w) in pixels.
        dataset: The training data.
        parts: Types of backbone, neck and head.
        paper: The result in the paper, ``"-"`` if it has none.
        result: The measured result, ``None`` if the config was not trained.
    """

    name: str
    group: str
    purpose: str
    size: tuple[int, int]
    dataset: str
    parts: tuple[str, ...]
    paper: str
    result: Result | None


def read_entries() -> list[Entry]:
    """Read all configs, without their costs.

    Returns:
        The main config first, TFPose before other methods, then by name.
    """
    paths = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)
    names = [path.relative_to(CONFIGS).as_posix() for path in paths]
    names.sort(key=lambda name: (name != MAIN, "_synthetic_" in name, "tfpose_" not in name, name))
    results = _read_results()
    return [_read_entry(name, results.get(name)) for name in names]


def _read_entry(name: str, result: Result | None) -> Entry:
    cfg = _load(name)
    first_line = (CONFIGS / name).read_text(encoding="utf-8").partition("\n")[0]
    width, height = cfg.codec.input_size
    dataset = next(part for part in name.split("_") if part in DATASETS)
    return Entry(
        name=name,
        group=name.partition("/")[0] if "/" in name else dataset,
        purpose=first_line.lstrip("# ").rstrip("."),
        size=(height, width),
        dataset=DATASETS[dataset],
        parts=tuple(cfg.model[part].type for part in ("backbone", "neck", "head") if part in cfg.model),
        paper={**PAPER_MPII, **{row.config: row.ap for table in TABLES for row in table.rows}}.get(name, "-"),
        result=result,
    )


@cache
def _load(name: str) -> Config:
    # custom modules are imported where a model is built: mmpretrain may not be installed
    return Config.fromfile(str(CONFIGS / name), import_custom_modules=False)


def _read_results() -> dict[str, Result]:
    """Results by the config's name: the demo, and what ``tfpose test`` wrote."""
    results = {name: Result(*result) for name, result in DEMO.items()}
    for table in TABLES:
        for row in table.rows:
            ap = measured_ap(row, table, TESTED) if row.is_tfpose else None
            if ap is not None:
                results[row.config] = Result("AP", ap / 100)
    return results


def count_cost(name: str) -> Complexity | None:
    """Count parameters and GFLOPs of a config's model.

    Args:
        name: Its path under ``configs``.

    Returns:
        The cost for one image, ``None`` if the config needs a package that is not installed.
    """
    cfg = _load(name)
    try:
        for module in cfg.custom_imports["imports"]:
            importlib.import_module(module)
    except ModuleNotFoundError:
        return None
    width, height = cfg.codec.input_size
    return count_complexity(MODELS.build(cfg.model), (height, width))


def make_page(entries: list[Entry], costs: dict[str, Complexity | None]) -> str:
    """Format the index as Markdown.

    Args:
        entries: All configs.
        costs: The cost of each by name.

    Returns:
        ``configs/README.md``.
    """
    text = HEADER
    for title, note, groups, shared in GROUPS:
        rows = [["config", "purpose", "input size", "params", "GFLOPs", "paper", "measured"]]
        for entry in (entry for entry in entries if entry.group in groups):
            cost = costs[entry.name]
            rows.append(
                [
                    f"[{Path(entry.name).stem}]({entry.name})",
                    entry.purpose.replace(shared, ""),
                    "x".join(map(str, entry.size)),
                    "-" if cost is None else f"{cost.params:.1f}",
                    "-" if cost is None else f"{cost.gflops:.2f}",
                    entry.paper,
                    "not trained" if entry.result is None else str(entry.result),
                ]
            )
        text += "\n".join(["", f"## {title}", "", *([note, ""] if note else []), *markdown_table(rows), ""])
    return text


def make_model_index(entries: list[Entry], costs: dict[str, Complexity | None]) -> str:
    """Format the index for ``mim search``.

    Args:
        entries: All configs.
        costs: The cost of each by name.

    Returns:
        ``model-index.yml``; costs have three digits.
    """
    models = []
    for entry in entries:
        cost, metadata = costs[entry.name], {"Training Data": entry.dataset, "Architecture": list(entry.parts)}
        if cost is not None:
            metadata.update(FLOPs=_round(1e9 * cost.gflops), Parameters=_round(1e6 * cost.params))
        model = {
            "Name": Path(entry.name).stem,
            "In Collection": METHODS[entry.parts[-1]],
            "Config": f"configs/{entry.name}",
            "Metadata": {**metadata, "Input Size": "x".join(map(str, entry.size)), "Purpose": entry.purpose},
        }
        if entry.result is not None:
            metrics = {entry.result.metric: round(entry.result.value, 3)}
            model["Results"] = [{"Task": "Body 2D Keypoint", "Dataset": entry.dataset, "Metrics": metrics}]
        models.append(model)
    names = dict.fromkeys(METHODS.values())
    collections = [{"Name": name, "Paper": PAPERS[name]} if name in PAPERS else {"Name": name} for name in names]
    head = "# Made by python -m benchmarks.config_index; do not edit.\n"
    return head + yaml.safe_dump({"Collections": collections, "Models": models}, sort_keys=False, width=1000)


def _round(number: float) -> int:
    return int(float(f"{number:.3g}"))


def main() -> None:
    """Count all models and write both files."""
    register_all_modules()
    entries = read_entries()
    costs = {entry.name: count_cost(entry.name) for entry in entries}
    PAGE.write_text(make_page(entries, costs), encoding="utf-8")
    MODEL_INDEX.write_text(make_model_index(entries, costs), encoding="utf-8")
    print(f"Wrote {PAGE} and {MODEL_INDEX}.")


if __name__ == "__main__":
    make_parser(__doc__).parse_args()
    main()
