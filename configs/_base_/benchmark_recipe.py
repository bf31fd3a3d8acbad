# The recipe for comparisons on two processor cores: steps of 32 images, warm-up in proportion, a curve of 10 points.
_base_ = "recipe.py"

train_cfg = dict(max_epochs=20, val_interval=2)
_base_.param_scheduler[0].end = 141  # an epoch of 4,500 people
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1, save_best=None))
