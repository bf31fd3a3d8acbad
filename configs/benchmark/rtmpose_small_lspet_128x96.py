# RTMPose's head in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = ["tfpose_small_lspet_128x96.py", "../_base_/peers/rtmpose_small.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
optim_wrapper = dict(optimizer=dict(lr=2e-3))  # selected on held-out images, see learning_rates_from_scratch.yaml
