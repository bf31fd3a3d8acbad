# Two-stage TFPose with ResNet-50 on COCO: the recommended config. It is not in the paper.
# The main config with keypoint maps that give y_0 and the scores. The recipe is that of the paper. The layers of the
# maps have the full learning rate, as the auxiliary branch has.
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(
    head=dict(
        type="TwoStageTFPoseHead",
        first_stage=dict(type="KeypointMapStage", radius=4, loss=dict(type="KeypointMapLoss", sigma=2.0)),
    ),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"transformer_decoder.first_stage": dict(lr_mult=1.0)}))
