# RTMPose's head in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config. Sigma is the root of an eighth
# of the input size, as in MMPose's configs.
_base_ = "tfpose_small_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(
    _base_,
    type="SimCCLabel",
    input_size=(96, 128),
    sigma=(3.46, 4.0),
    simcc_split_ratio=2.0,
    normalize=False,
    use_dark=False,
)
_base_.model.pop("neck")
model = dict(
    head=dict(
        _delete_=True,
        type="RTMCCHead",
        in_channels=192,
        out_channels=14,
        input_size=(96, 128),
        in_featuremap_size=(3, 4),
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
        decoder=_base_.codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True),
)
# The learning rate was selected on held-out images, see learning_rates_from_scratch.yaml.
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)
