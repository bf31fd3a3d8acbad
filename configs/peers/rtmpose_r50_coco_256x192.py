# RTMPose's head with the backbone, data, augmentation and schedule of the main config.
# Head, codec and optimizer are those of MMPose's config.
_base_ = ["../tfpose_r50_coco_256x192.py", "../_base_/peers/rtmpose.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
