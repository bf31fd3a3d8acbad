# Two-stage TFPose with ResNet-50 on COCO at 384x288: the recommended config of this size. It is not in the paper.
# Sigma and radius grow with the input, as the sigma of heat maps does in MMPose's configs.
_base_ = "tfpose_r50_coco_384x288.py"

model = dict(
    head=dict(
        type="TwoStageTFPoseHead",
        first_stage=dict(type="KeypointMapStage", radius=6, loss=dict(type="KeypointMapLoss", sigma=3.0)),
    ),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"transformer_decoder.first_stage": dict(lr_mult=1.0)}))
