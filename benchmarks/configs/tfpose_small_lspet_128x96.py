# TFPose in the small-scale comparison on Leeds Sports Pose Extended: 20 epochs from scratch.
# A narrow ResNet-18, 1 encoder layer, 2 decoder layers, 64 channels (docs/benchmark.md).
_base_ = "tfpose_r18_lspet_128x96.py"

model = dict(
    backbone=dict(base_channels=24, stem_channels=24, init_cfg=None),
    neck=dict(
        in_channels=[48, 96, 192],
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
    ),
)
# One learning rate for all parts, not a tenth for the transformer: selected on held-out training images, see
# benchmarks/plans/learning_rates_from_scratch.yaml and learning_rates.yaml.
optim_wrapper = dict(optimizer=dict(lr=4e-3), paramwise_cfg=None)
train_cfg = dict(max_epochs=20, val_interval=2)
_base_.param_scheduler[0].end = 141  # iterations in an epoch of 4,500 instances
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1, save_best=None))
