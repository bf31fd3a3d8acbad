# Schedule of the small-scale comparison: batch size 32, one epoch of warm-up, a validation every 2 epochs.
# The config that inherits it sets epochs and learning rate.
_base_ = "recipe.py"

train_cfg = dict(val_interval=2)
_base_.param_scheduler[0].end = 141  # iterations in an epoch of 4,500 instances
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1, save_best=None))
