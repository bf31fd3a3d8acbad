# RTMPose's head as in MMPose.
# use_peer sets the values that are None from data and backbone.
peer = dict(
    codec=dict(
        type="SimCCLabel", input_size=None, sigma=(4.9, 5.66), simcc_split_ratio=2.0, normalize=False, use_dark=False
    ),
    use_udp=False,
    head=dict(
        type="RTMCCHead",
        in_channels=None,
        out_channels=None,
        input_size=None,
        in_featuremap_size=None,
        simcc_split_ratio=2.0,
        final_layer_kernel_size=7,
        gau_cfg=dict(
            hidden_dims=256,
            s=128,
            expansion_factor=2,
            dropout_rate=0.0,
            drop_path=0.0,
            act_fn="SiLU",
            use_rel_bias=False,
            pos_enc=False,
        ),
        loss=dict(type="KLDiscretLoss", use_target_weight=True, beta=10.0, label_softmax=True),
    ),
    test_cfg=dict(flip_test=True),
    optim_wrapper=dict(
        optimizer=dict(type="AdamW", lr=4e-3, weight_decay=0.05),
        paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    ),
)
