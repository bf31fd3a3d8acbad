# TFPose's deformable neck with the regression head of RLE, after global average pooling (ResNet-50).
_base_ = ["../tfpose_r50_coco_256x192.py", "../_base_/peers/rle.py"]
from tfpose_mm.config import use_peer

use_peer(_base_, keep_neck=True)
