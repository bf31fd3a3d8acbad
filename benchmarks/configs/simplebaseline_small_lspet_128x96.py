# SimpleBaseline with UDP heat maps in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rate, are those of MMPose's config.
_base_ = "tfpose_small_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(_base_, type="UDPHeatmap", input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
_base_.model.pop("neck")
model = dict(
    head=dict(
        _delete_=True,
        type="HeatmapHead",
        in_channels=192,
        deconv_out_channels=(64, 64, 64),
        out_channels=14,
        loss=dict(type="KeypointMSELoss", use_target_weight=True),
        decoder=_base_.codec,
    ),
    test_cfg=dict(_delete_=True, flip_test=True, flip_mode="heatmap", shift_heatmap=False),
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type="Adam", lr=4e-3),  # selected on held-out images, see learning_rates_from_scratch.yaml
)
