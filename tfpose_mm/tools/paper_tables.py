"""Tables 1 to 6 of the paper beside what can be counted here: multiply-adds and parameters of every model.

AP is printed only where it was measured: where results/NAME/metrics.json exists, NAME being the config's, as
tfpose_mm.tools.evaluate writes it with --out results/NAME.
"""

from __future__ import annotations

import argparse
import json
from functools import lru_cache
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from tfpose_mm.analysis import TABLES, Complexity, Row, Table, count

from .cli import make_parser, markdown_table, run
from .runs import CONFIGS

PAGE = CONFIGS.parent / "docs/paper_tables.md"
RESULTS = CONFIGS.parent / "results"
HEADER = """\
# The paper's tables, counted

Made by `python -m tfpose_mm.tools.paper_tables --markdown`, from the configs; do not edit.

GFLOPs are multiply-adds of one crop in units of 10^9, counted by MMEngine on the CPU, the auxiliary branch not run;
"ratio" is this count over the paper's figure; parameters, in millions, are those that run in inference. Peers are
MMPose's own configs. Some of their figures come, it seems, from HRNet's code, which counts transposed convolutions at
the size of their output and in units of 2^30: where that explains a figure, a note gives the count in that way.

"AP, paper" is what the paper reports; "AP here" is empty where nothing was measured. {measured} "N_D" in the paper's
Tables 5 and 6 is the number of encoder layers, N_E here. The paper does not say whether Tables 1 and 2 were trained
with the auxiliary loss; Table 3 was not (its last row is Table 4's first), so these configs leave it out in all three.
"""


@lru_cache(maxsize=None)
def _count(config: str, options: tuple, size: tuple[int, int]) -> Complexity:
    cfg = get_config(config) if "::" in config else Config.fromfile(str(CONFIGS / config))
    cfg.merge_from_dict(dict(options))
    return count(MODELS.build(cfg.model), size)


def measured_ap(row: Row, table: Table, results: Path) -> float | None:
    """AP of a row, per cent, ``None`` where it was not measured.

    Args:
        row: A row of a table.
        table: The table.
        results: Folder of results.

    Returns:
        The AP in ``results/NAME/metrics.json``, NAME being the config's, if it was measured on the table's annotations.

    Raises:
        ValueError: If the file is of another config or of a changed model, or does not say of which.
    """
    path = results / Path(row.config or "").stem / "metrics.json"
    if row.config is None or not path.is_file():
        return None
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if metrics.get("config") != path.parent.name:
        raise ValueError(
            f"{path} is of the config {metrics.get('config')}, but its folder says {path.parent.name}: write it with "
            "tfpose_mm.tools.evaluate, and the right --out."
        )
    changed = [key for key in metrics.get("cfg_options", {}) if key.split(".")[0] in ("model", "codec")]
    if changed:
        raise ValueError(
            f"{path} must be of the config as it is, but was measured with another {', '.join(changed)}: write it with "
            "tfpose_mm.tools.evaluate without these --cfg-options."
        )
    on_table_s_data = Path(metrics.get("annotations", "")).name == table.annotations
    return 100 * metrics["coco/AP"] if on_table_s_data else None


def _cells(row: Row, table: Table, results: Path, notes: list[str]) -> list[str]:
    """The row as text; a note that is new is appended to the notes."""
    cells = [*row.labels, "x".join(map(str, row.size)) if row.size else "-"]
    cells += [row.gflops or "-"]
    note = row.note
    if row.config and row.size:
        complexity = _count(row.config, tuple(row.options.items()), row.size)
        ratio = f"{complexity.gflops / float(row.gflops):.3f}" if row.gflops else "-"
        cells += [f"{complexity.gflops:.2f}", ratio, f"{complexity.params:.1f}"]
        if row.counted_as_hrnet:
            note = f"{complexity.gflops_of_hrnet:.2f} counted as HRNet's code does"
    else:
        cells += ["-", "-", "-"]
    ap = measured_ap(row, table, results)
    cells += [row.ap, "" if ap is None else f"{ap:.1f}"]
    name = Path(row.config.partition("::")[2] or row.config).stem if row.config else "-"
    cells += [f"[{name}](../configs/{row.config})" if row.is_tfpose else name]
    if note and note not in notes:
        notes.append(note)
    cells += [str(notes.index(note) + 1) if note else ""]
    return cells


def format_table(table: Table, results: Path) -> str:
    """A table of the paper as Markdown.

    Args:
        table: The table.
        results: Folder of results.

    Returns:
        Heading, table, and notes under it.
    """
    header = [
        *table.columns,
        "crop",
        "GFLOPs, paper",
        "here",
        "ratio",
        "params",
        "AP, paper",
        "AP here",
        "config",
        "note",
    ]
    notes: list[str] = []
    rows = [header, *(_cells(row, table, results, notes) for row in table.rows)]
    if not notes:
        rows = [row[:-1] for row in rows]
    text = [f"## Table {table.number}: {table.title}", "", *markdown_table(rows)]
    if notes:
        text += ["", *(f"{number}. {note}" for number, note in enumerate(notes, start=1))]
    return "\n".join(text) + "\n"


def make_page(results: Path) -> str:
    """All tables as one page of Markdown.

    Args:
        results: Folder of results.

    Returns:
        The page.
    """
    register_all_modules()
    any_measured = any(measured_ap(row, table, results) is not None for table in TABLES for row in table.rows)
    measured = "" if any_measured else "**So far that is everywhere: nothing has been trained on COCO with this code.**"
    tables = (format_table(table, results) for table in TABLES)
    return "\n".join([HEADER.format(measured=measured), *tables])


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--markdown", action="store_true", help=f"write {PAGE} instead of printing")
    parser.add_argument("--results", type=Path, help="folder of results (default: results, beside configs)")
    return parser.parse_args()


def main() -> None:
    """Count and print."""
    args = parse_args()
    if args.results and not args.results.is_dir():
        raise FileNotFoundError(f"The folder of results {args.results} does not exist: leave --results out for none.")
    if args.markdown and not PAGE.parent.is_dir():
        raise FileNotFoundError(f"{PAGE.parent} does not exist: --markdown is for a clone of the repository.")
    page = make_page(args.results or RESULTS)
    if args.markdown:
        PAGE.write_text(page, encoding="utf-8")
        print(f"Wrote {PAGE}.")
    else:
        print(page)


if __name__ == "__main__":
    run(main)
