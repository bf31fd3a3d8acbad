"""The models of the speed suite."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.registry import MODELS

from tfpose_mm.config import change_codec
from tfpose_mm.config_files import CONFIGS, read_config

MMPOSE = "mmpose::body_2d_keypoint"
BASELINE = "SimpleBaseline R50"
PEERS = {
    (192, 256): {
        BASELINE: "topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192",
        "DeepPose R50": "topdown_regression/coco/td-reg_res50_8xb64-210e_coco-256x192",
        "RLE R50": "topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192",
        "SimCC R50": "simcc/coco/simcc_res50_8xb64-210e_coco-256x192",
        "HRNet-W32": "topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192",
        "RTMPose-m": "rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192",
    },
    (288, 384): {
        BASELINE: "topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-384x288",
        "SimCC R50": "simcc/coco/simcc_res50_8xb32-140e_coco-384x288",
        "HRNet-W32": "topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-384x288",
        "RTMPose-m": "rtmpose/coco/rtmpose-m_8xb256-420e_aic-coco-384x288",
    },
}


def tfpose(size: tuple[int, int], layers: int, joints: int = 17) -> Config:
    """Config of TFPose with ResNet-50; without an encoder it also uses C2, as in the paper's tables.

    Args:
        size: (w, h) of the input.
        layers: N_E.
        joints: K.

    Returns:
        The config, without pretrained weights.
    """
    cfg = read_config(CONFIGS / "tfpose_r50_coco_256x192.py")
    change_codec(cfg, input_size=size)
    model = cfg.model
    model.neck.num_layers, model.head.num_joints = layers, joints
    if layers == 0:
        model.backbone.out_indices, model.neck.in_channels = (0, 1, 2, 3), [256, 512, 1024, 2048]
        model.head.num_levels = 4
    return _without_weights(cfg)


def peer(name: str, size: tuple[int, int], joints: int = 17) -> Config:
    """Config of a model of MMPose.

    Args:
        name: A name in ``PEERS``.
        size: (w, h) of the input.
        joints: K.

    Returns:
        The config, without pretrained weights.
    """
    path = PEERS.get(size, {}).get(name, PEERS[(192, 256)][name])
    cfg = read_config(f"{MMPOSE}/{path}.py")
    if tuple(cfg.codec.input_size) != size:
        change_codec(cfg, input_size=size)
    cfg.model.head["num_joints" if "num_joints" in cfg.model.head else "out_channels"] = joints
    return _without_weights(cfg)


def all_models(size: tuple[int, int]) -> dict[str, Config]:
    """Configs of all models of the suite.

    Args:
        size: (w, h) of the input.

    Returns:
        The configs by their names.
    """
    own = {f"TFPose R50, N_E {layers}": tfpose(size, layers) for layers in (0, 4, 6)}
    return {**own, **{name: peer(name, size) for name in PEERS[(192, 256)]}}


def _without_weights(cfg: Config) -> Config:
    cfg.model.backbone.init_cfg = None
    return cfg


def build(cfg: Config, device: str) -> BaseModel:
    """Build the model of a config for inference.

    Args:
        cfg: The config.
        device: Device of the model.

    Returns:
        The model in evaluation mode.
    """
    return MODELS.build(cfg.model).to(device).eval()
