# Two-stage TFPose with ResNet-50 on COCO: the recommended config. It is not in the paper.
# Keypoint maps give y_0 and the scores; the OKS loss replaces L1. The recipe is that of the paper.
_base_ = ["tfpose_r50_coco_256x192.py", "mmpose::_base_/datasets/coco.py"]

reg_loss = dict(
    type="KeypointSimilarityLoss",
    sigmas=_base_.pop("dataset_info").sigmas,  # COCO's, from MMPose
    input_size=_base_.codec.input_size,
    loss_weight=0.1,
)
model = dict(
    head=dict(
        start=dict(type="KeypointMapStart", radius=4, loss=dict(type="KeypointMapLoss", sigma=2.0)),
        reference_position=True,
        token_position=True,
        loss=dict(reg_loss=reg_loss),
    ),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
del reg_loss
