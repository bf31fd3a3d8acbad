# The recipe for a training of minutes: 16 epochs, batch size 16, shorter warm-up.
_base_ = "recipe.py"

train_cfg = dict(max_epochs=16, val_interval=4)
_base_.param_scheduler[0].end = 100
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=1))
randomness = dict(seed=0)
