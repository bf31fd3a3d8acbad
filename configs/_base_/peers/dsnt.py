# Integral regression (DSNTHead) as in MMPose's ipr_res50.
# Not as in its ipr_res50_dsnt: that loss has NaN gradients where a keypoint is not labelled (open-mmlab/mmpose issue
# 2517). use_peer sets the values that are None from data and backbone.
peer = dict(
    codec=dict(type="IntegralRegressionLabel", input_size=None, heatmap_size=None, sigma=None, normalize=True),
    use_udp=False,
    head=dict(
        type="DSNTHead",
        in_channels=None,
        deconv_out_channels=None,
        in_featuremap_size=None,
        num_joints=None,
        loss=dict(
            type="MultipleLossWrapper",
            losses=[
                dict(type="SmoothL1Loss", use_target_weight=True),
                dict(type="KeypointMSELoss", use_target_weight=True),
            ],
        ),
    ),
    test_cfg=dict(flip_test=True, shift_coords=True, shift_heatmap=True),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=5e-4)),
)
