# Integral regression (DSNT) in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = "tfpose_small_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(
    _base_, type="IntegralRegressionLabel", input_size=(96, 128), heatmap_size=(24, 32), sigma=2, normalize=True
)
_base_.model.pop("neck")
model = dict(
    head=dict(
        _delete_=True,
        type="DSNTHead",
        in_channels=192,
        deconv_out_channels=(64, 64, 64),
        in_featuremap_size=(3, 4),
        num_joints=14,
        loss=dict(
            type="MultipleLossWrapper",
            losses=[
                dict(type="SmoothL1Loss", use_target_weight=True),
                dict(type="KeypointMSELoss", use_target_weight=True),
            ],
        ),
        decoder=_base_.codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True, shift_coords=True, shift_heatmap=True),
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type="Adam", lr=4e-3),  # selected on the same 500 validation images, see learning_rates.yaml
)
