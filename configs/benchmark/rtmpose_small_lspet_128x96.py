# RTMPose's head in the comparison on Leeds Sports Pose Extended.
_base_ = ["tfpose_small_lspet_128x96.py", "../_base_/peers/rtmpose_small.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
