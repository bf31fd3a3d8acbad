# Integral regression (DSNT) in the small-scale comparison on hard synthetic people.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = ["tfpose_small_synthetic_128x96.py", "../_base_/peers/dsnt.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)
optim_wrapper = dict(optimizer=dict(lr=4e-3))  # selected on Leeds Sports Pose Extended, see learning_rates.yaml
