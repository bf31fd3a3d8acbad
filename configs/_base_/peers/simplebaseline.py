# SimpleBaseline as in MMPose, with UDP.
# use_peer sets the values that are None from data and backbone.
peer = dict(
    codec=dict(type="UDPHeatmap", input_size=None, heatmap_size=None, sigma=None),
    use_udp=True,
    head=dict(
        type="HeatmapHead",
        in_channels=None,
        deconv_out_channels=None,
        out_channels=None,
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_heatmap=False),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=5e-4)),
)
