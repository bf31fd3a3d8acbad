"""The models of the speed suite."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.registry import MODELS

from tfpose_mm.config import change_codec
from tfpose_mm.models.layers import DeformableAttention

from .runs import CONFIGS, read_config

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
    """TFPose on ResNet-50, with C2 added where it has no encoder, as the paper's tables have it.

    Args:
        size: (w, h) of the crop.
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
    """A model of MMPose's own, from its own config.

    Args:
        name: A name in ``PEERS``.
        size: (w, h) of the crop.
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


def everyone(size: tuple[int, int]) -> dict[str, Config]:
    """All that are compared.

    Args:
        size: (w, h) of the crop.

    Returns:
        The configs by their names.
    """
    own = {f"TFPose R50, N_E {layers}": tfpose(size, layers) for layers in (0, 4, 6)}
    return {**own, **{name: peer(name, size) for name in PEERS[(192, 256)]}}


def _without_weights(cfg: Config) -> Config:
    cfg.model.backbone.init_cfg = None
    return cfg


def spared(model: BaseModel, size: tuple[int, int]) -> float:
    """Multiply-adds that are counted for a model but that inference on the CPU spares.

    They are those of values that deformable attention leaves unprojected.

    Args:
        model: The model.
        size: (w, h) of the crop.

    Returns:
        The number in units of 10^9, for one image.
    """
    found = []

    def note(attention: DeformableAttention, inputs: tuple[torch.Tensor, ...]) -> None:
        query, value = inputs[:2]
        if attention.samples_few(query.shape[1], value):
            found.append((value.shape[1] - query.shape[1]) * attention.embed_dims**2)

    attentions = [module for module in model.modules() if isinstance(module, DeformableAttention)]
    hooks = [attention.register_forward_pre_hook(note) for attention in attentions]
    if attentions:
        image = torch.zeros(1, 3, *size[::-1], device=next(model.parameters()).device)
        with torch.inference_mode():
            model.head.forward(model.extract_feat(image))
    for hook in hooks:
        hook.remove()
    return sum(found) / 1e9


def build(cfg: Config, device: str) -> BaseModel:
    """The model of a config, for inference.

    Args:
        cfg: The config.
        device: Where it runs.

    Returns:
        The model in evaluation mode.
    """
    return MODELS.build(cfg.model).to(device).eval()
