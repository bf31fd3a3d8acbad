# RLE (residual log-likelihood estimation) in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = ["tfpose_small_lspet_128x96.py", "../_base_/peers/rle.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
optim_wrapper = dict(optimizer=dict(lr=4e-3))  # selected on held-out images, see learning_rates_from_scratch.yaml
