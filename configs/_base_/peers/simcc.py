# SimCC as in MMPose, with deconvolutions.
# use_peer sets the values that are None from data and backbone.
peer = dict(
    codec=dict(type="SimCCLabel", input_size=None, sigma=6.0, simcc_split_ratio=2.0),
    use_udp=False,
    head=dict(
        type="SimCCHead",
        in_channels=None,
        deconv_out_channels=None,
        out_channels=None,
        input_size=None,
        in_featuremap_size=None,
        simcc_split_ratio=2.0,
        loss=dict(type="KLDiscretLoss", use_target_weight=True),
    ),
    test_cfg=dict(flip_test=True),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
)
