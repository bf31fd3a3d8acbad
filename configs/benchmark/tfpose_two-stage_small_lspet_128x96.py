# Two-stage TFPose in the small-scale comparison on Leeds Sports Pose Extended.
# y_0 comes from keypoint maps, the position of the queries from their coordinates. The recipe is that of
# tfpose_small_lspet_128x96.py.
_base_ = "tfpose_small_lspet_128x96.py"

model = dict(
    head=dict(type="TwoStageTFPoseHead", first_stage=dict(type="KeypointMapStage", loss=dict(type="KeypointMapLoss"))),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
