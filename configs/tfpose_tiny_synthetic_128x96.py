# The demo: a TFPose that two processor cores train in minutes, on synthetic people (make demo).
_base_ = [
    "_base_/synthetic_128x96.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]
from tfpose_mm.config import change_steps

model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, init_cfg=None),
    neck=dict(
        in_channels=[32, 64, 128],
        out_channels=64,
        num_layers=1,
        feedforward_channels=256,
        dropout=0.0,
        norm_cfg=dict(type="GN", num_groups=8),
    ),
    head=dict(
        in_channels=64,
        embed_dims=64,
        num_layers=2,
        feedforward_channels=256,
        dropout=0.0,
        deconv_out_channels=(64, 64, 64),
        decoder=_base_.codec,
    ),
)

# Easy people stand upright and are seen whole: milder augmentation than the paper's, for 2,000 steps of 16 images.
change_steps(
    _base_,
    RandomBBoxTransform=dict(scale_factor=(0.8, 1.2), rotate_factor=20.0),
    RandomHalfBody=dict(prob=0.0),
)
train_dataloader = dict(batch_size=16)
train_cfg = dict(max_epochs=16, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=100, by_epoch=False),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=1))
randomness = dict(seed=0)
