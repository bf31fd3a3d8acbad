# COCO keypoints at 384x288, with the sigma of MMPose's UDP configs at this size.
_base_ = "coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(288, 384), sigma=3)
