# RLE (residual log-likelihood estimation) as in MMPose.
# use_peer sets the values that are None from data and backbone.
peer = dict(
    codec=dict(type="RegressionLabel", input_size=None),
    use_udp=False,
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="RLEHead",
        in_channels=None,
        num_joints=None,
        loss=dict(type="RLELoss", use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, shift_coords=True),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
)
