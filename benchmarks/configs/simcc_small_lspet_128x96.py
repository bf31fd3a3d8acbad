# SimCC in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config. Sigma scales with the root of the
# input size.
_base_ = "tfpose_small_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(_base_, type="SimCCLabel", input_size=(96, 128), sigma=4.24, simcc_split_ratio=2.0)
_base_.model.pop("neck")
model = dict(
    head=dict(
        _delete_=True,
        type="SimCCHead",
        in_channels=192,
        deconv_out_channels=(64, 64, 64),
        out_channels=14,
        input_size=(96, 128),
        in_featuremap_size=(3, 4),
        simcc_split_ratio=2.0,
        loss=dict(type="KLDiscretLoss", use_target_weight=True),
        decoder=_base_.codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True),
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type="Adam", lr=4e-3),  # selected on held-out images, see learning_rates_from_scratch.yaml
)
