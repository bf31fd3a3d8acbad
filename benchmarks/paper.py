"""Tables 1 to 6 of the paper, row by row, each with the config that builds its model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ABLATIONS = "ablations/tfpose_r18_"
MMPOSE = "mmpose::body_2d_keypoint/"
HOURGLASS = f"{MMPOSE}topdown_heatmap/coco/td-hm_hourglass52_8xb32-210e_coco-256x256.py"
Q2Q = "removing query-to-query attention saves 0.03 in this count, 0.10 in the paper; the difference is not explained"
STACKS_192 = "MMPose's hourglass needs input sizes that are multiples of 128"
STACKS = "another network: MMPose has one stack, which is wider and deeper than one of these eight"
TEXT_NE4 = "7.68 in the paper's text"
TEXT_NE6 = "9.15 in the paper's text"
NO_CPN = "MMPose 1.x has no CPN"
INTEGRAL = "MMPose has it with ResNet-50; counted with depth 101; the difference is not explained"


@dataclass(frozen=True)
class Row:
    """A row of a table of the paper.

    Attributes:
        labels: Values of the table's columns except input size, GFLOPs and AP.
        gflops: The paper's figure as it is printed, ``None`` if it gives none.
        ap: The paper's AP as it is printed.
        size: (h, w) of the input, ``None`` if the paper prints none.
        config: The config that builds the model: a path under ``configs``, or MMPose's own as ``mmpose::path``;
            ``None`` if there is none.
        options: Changes to the config, by dotted keys.
        note: A note on the counted GFLOPs.
        counted_as_hrnet: Whether the paper's figure was counted as in HRNet's code, see :class:`Complexity`.
    """

    labels: tuple[str, ...]
    gflops: str | None
    ap: str
    size: tuple[int, int] | None = (256, 192)
    config: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    counted_as_hrnet: bool = False

    @property
    def is_tfpose(self) -> bool:
        """Whether the model is one of this package's configs."""
        return self.config is not None and "::" not in self.config


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        number: The paper's number.
        title: What it shows.
        columns: Names of the rows' labels.
        rows: Its rows, in the paper's order.
        annotations: Name of the annotation file or the split on which an AP of this table must be measured.
    """

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    annotations: str = "person_keypoints_val2017.json"


def _ablation(label: str, gflops: str, ap: str, name: str, **fields: str) -> Row:
    return Row((label,), gflops, ap, config=f"{ABLATIONS}{name}_coco_256x192.py", **fields)


def _ours(encoder_layers: int, gflops: str, ap: str, size: tuple[int, int], suffix: str = "", note: str = "") -> Row:
    variant = "" if encoder_layers == 6 else f"_ne{encoder_layers}"
    config = f"tfpose_r50{variant}_coco_{size[0]}x{size[1]}{suffix}.py"
    return Row((f"TFPose, N_E {encoder_layers}", "ResNet-50"), gflops, ap, size, config, note=note)


def _peer(method: str, backbone: str, gflops: str | None, ap: str, config: str | None = None, **fields: Any) -> Row:  # noqa: ANN401
    return Row((method, backbone), gflops, ap, config=config and f"{MMPOSE}{config}", **fields)


def _counted_as_hrnet(method: str, backbone: str, gflops: str, ap: str, config: str, **fields: Any) -> Row:  # noqa: ANN401
    return _peer(method, backbone, gflops, ap, config, counted_as_hrnet=True, **fields)


def _uncounted(method: str, backbone: str, ap: str) -> Row:
    return _peer(method, backbone, None, ap, size=None)


LARGE = (384, 288)
HEATMAP, REGRESSION = "topdown_heatmap/coco/td-hm_", "topdown_regression/coco/td-reg_"
SIMPLE_BASELINE_50 = f"{HEATMAP}res50_8xb64-210e_coco-256x192.py"
SIMPLE_BASELINE_50_LARGE = f"{HEATMAP}res50_8xb64-210e_coco-384x288.py"
SIMPLE_BASELINE_152_LARGE = f"{HEATMAP}res152_8xb32-210e_coco-384x288.py"
HRNET_LARGE = f"{HEATMAP}hrnet-w32_8xb64-210e_coco-384x288.py"
DEEPPOSE_101 = f"{REGRESSION}res101_8xb64-210e_coco-256x192.py"
DEEPPOSE_152 = f"{REGRESSION}res152_8xb64-210e_coco-256x192.py"

TABLES = (
    Table(
        1,
        "query-to-query attention (q2q): ResNet-18, N_E 0, N_D 6, COCO val2017",
        ("q2q",),
        (_ablation("off", "3.51", "63.2", "ne0_noq2q", note=Q2Q), _ablation("on", "3.61", "64.5", "ne0")),
    ),
    Table(
        2,
        "channels C: ResNet-18, N_E 0, N_D 6, COCO val2017",
        ("C",),
        (_ablation("128", "2.28", "63.2", "ne0_c128"), _ablation("256", "3.61", "64.5", "ne0")),
    ),
    Table(
        3,
        "decoder layers N_D: ResNet-18, N_E 6, no auxiliary loss, COCO val2017",
        ("N_D",),
        tuple(
            _ablation(str(layers), gflops, ap, f"nd{layers}")
            for layers, gflops, ap in (
                (1, "6.32", "65.7"),
                (2, "6.41", "66.9"),
                (3, "6.50", "67.1"),
                (4, "6.59", "67.2"),
                (5, "6.68", "67.2"),
                (6, "6.77", "67.2"),
            )
        ),
    ),
    Table(
        4,
        "auxiliary loss: ResNet-18, N_E 6, N_D 6, COCO val2017",
        ("aux",),
        (
            _ablation("off", "6.76", "67.2", "noaux"),
            Row(("on",), "6.76", "69.5", config="tfpose_r18_coco_256x192.py"),
        ),
    ),
    Table(
        5,
        "COCO val2017",
        ("method", "backbone"),
        (
            _peer("DeepPose", "ResNet-101", "7.6", "56.0", DEEPPOSE_101),
            _peer("DeepPose", "ResNet-152", "11.3", "58.3", DEEPPOSE_152),
            Row(("8-stage Hourglass", "-"), "19.5", "66.9", note=STACKS_192),
            Row(("8-stage Hourglass", "-"), "25.9", "67.1", (256, 256), HOURGLASS, note=STACKS),
            _peer("CPN", "ResNet-50", "6.2", "68.6 (69.4)", note=NO_CPN),
            _peer("CPN", "ResNet-50", "13.9", "70.6 (71.6)", size=LARGE, note=NO_CPN),
            _counted_as_hrnet("SimpleBaseline", "ResNet-50", "8.9", "70.4", SIMPLE_BASELINE_50),
            _counted_as_hrnet("SimpleBaseline", "ResNet-50", "20.0", "72.2", SIMPLE_BASELINE_50_LARGE, size=LARGE),
            _ours(4, "7.7", "70.5", (256, 192), note=TEXT_NE4),
            _ours(6, "9.2", "71.0", (256, 192), note=TEXT_NE6),
            _ours(6, "20.4", "72.4", LARGE),
        ),
    ),
    Table(
        6,
        "COCO test-dev2017, of which only the evaluation server knows the annotations",
        ("method", "backbone"),
        (
            _uncounted("AE", "Hourglass", "56.6"),
            _uncounted("Mask R-CNN", "ResNet-50", "62.7"),
            _uncounted("CMU-Pose", "VGG-19", "64.2"),
            _uncounted("G-RMI", "ResNet-101", "64.9"),
            _uncounted("HigherHRNet", "HRNet-W48", "70.5"),
            _peer("CPN", "ResNet-Inception", "29.2", "72.1", size=LARGE, note=NO_CPN),
            _counted_as_hrnet("SimpleBaseline", "ResNet-50", "8.9", "70.0", SIMPLE_BASELINE_50),
            _counted_as_hrnet("SimpleBaseline", "ResNet-152", "35.6", "73.7", SIMPLE_BASELINE_152_LARGE, size=LARGE),
            _counted_as_hrnet("HRNet", "HRNet-W32", "16.0", "74.9", HRNET_LARGE, size=LARGE),
            _peer("DeepPose", "ResNet-101", "7.69", "57.4", DEEPPOSE_101),
            _peer("DeepPose", "ResNet-152", "11.34", "59.3", DEEPPOSE_152),
            _uncounted("DirectPose", "ResNet-50", "62.2"),
            _uncounted("DirectPose", "ResNet-101", "63.3"),
            _uncounted("SPM", "Hourglass", "66.9"),
            _peer(
                "Integral regression",
                "ResNet-101",
                "11.0",
                "67.8",
                "integral_regression/coco/ipr_res50_8xb64-210e_coco-256x256.py",
                size=(256, 256),
                options={"model.backbone.depth": 101},
                note=INTEGRAL,
            ),
            _ours(4, "7.7", "70.5", (256, 192), "_testdev"),
            _ours(6, "9.2", "70.9", (256, 192), "_testdev"),
            _ours(6, "20.4", "72.2", LARGE, "_testdev"),
        ),
        annotations="test-dev2017",
    ),
)
