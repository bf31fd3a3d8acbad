# Two-stage TFPose with a pretrained EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended.
_base_ = "tfpose_lite0_lspet_128x96.py"

model = dict(
    head=dict(type="TwoStageTFPoseHead", first_stage=dict(type="KeypointMapStage", loss=dict(type="KeypointMapLoss"))),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
