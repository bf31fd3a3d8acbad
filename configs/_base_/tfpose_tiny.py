# TFPose that trains in minutes on two CPU cores: a narrow ResNet-18, 1 encoder and 2 decoder layers, 64 channels.
_base_ = "tfpose_r50.py"

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
    ),
)
