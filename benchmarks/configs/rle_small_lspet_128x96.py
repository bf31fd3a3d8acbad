# RLE (residual log-likelihood estimation) in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = "tfpose_small_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(_base_, type="RegressionLabel", input_size=(96, 128))
model = dict(
    neck=dict(_delete_=True, type="GlobalAveragePooling"),
    head=dict(
        _delete_=True,
        type="RLEHead",
        in_channels=192,
        num_joints=14,
        loss=dict(type="RLELoss", use_target_weight=True),
        decoder=_base_.codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True, shift_coords=True),
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type="Adam", lr=4e-3),  # selected on held-out images, see learning_rates_from_scratch.yaml
)
