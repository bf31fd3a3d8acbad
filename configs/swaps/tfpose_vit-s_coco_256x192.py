# TFPose with ViT-S: one map of stride 16, no neck; needs mmpretrain.
# The backbone is that of MMPose's own ViTPose config. Install it with mim install mmpretrain.
_base_ = "../tfpose_r50_coco_256x192.py"
from mmengine.hub import get_config

vit = get_config("mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py")
custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading", "mmpretrain.models"])
_base_.model.pop("neck")
heads = dict(in_channels=[384], deconv_out_channels=(256, 256), deconv_kernel_sizes=(4, 4))
model = dict(backbone=dict(vit.model.backbone, _delete_=True), head=heads)
del vit, heads
