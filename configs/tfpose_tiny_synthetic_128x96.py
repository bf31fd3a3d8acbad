# The demo: a TFPose that two processor cores train in minutes, on synthetic people (make demo).
_base_ = [
    "_base_/synthetic_128x96.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128], out_channels=64, num_layers=1, feedforward_channels=256),
    head=dict(
        in_channels=64,
        embed_dims=64,
        num_layers=2,
        feedforward_channels=256,
        deconv_out_channels=(64, 64, 64),
        decoder=_base_.codec,
    ),
)

train_dataloader = dict(batch_size=16)
train_cfg = dict(max_epochs=10, val_interval=5)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=100, by_epoch=False),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=1))
randomness = dict(seed=0)
