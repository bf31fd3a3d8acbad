# TFPose with ResNet-50, C3 to C5, 6 encoder and 6 decoder layers.
# The config that inherits it sets head.decoder to the codec of its data.
model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        out_indices=(1, 2, 3),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="DeformableTransformerNeck",
        in_channels=[512, 1024, 2048],
        out_channels=256,
        num_layers=6,
        num_heads=8,
        num_points=4,
        feedforward_channels=1024,
    ),
    head=dict(
        type="TFPoseHead",
        in_channels=256,
        num_joints=17,
        num_levels=3,
        embed_dims=256,
        num_layers=6,
        num_heads=8,
        num_points=4,
        feedforward_channels=1024,
        query_attention=True,
        aux_branch=True,
        loss=dict(type="TFPoseLoss", aux_weight=50.0),
    ),
    test_cfg=dict(flip_test=True, shift_coords=False),  # a flipped label of TFPoseLabel is 1 - x
)
