# RLE with EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rates, are those of MMPose's config.
_base_ = ["tfpose_lite0_lspet_128x96.py", "../_base_/peers/rle.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
# 8e-3 was 1.6 points better after 4 epochs, but its loss exploded in a training of 10 epochs.
optim_wrapper = dict(optimizer=dict(lr=4e-3), paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.25)}))
