# Two-stage TFPose in the small-scale comparison on Leeds Sports Pose Extended.
# Keypoint maps give y_0 and the scores; the OKS loss replaces L1. The recipe is that of tfpose_small_lspet_128x96.py.
_base_ = "tfpose_small_lspet_128x96.py"

model = dict(
    head=dict(
        start=dict(type="KeypointMapStart"),
        reference_position=True,
        token_position=True,
        loss=dict(
            reg_loss=dict(
                type="KeypointSimilarityLoss",
                sigmas=_base_.metainfo.sigmas,
                input_size=_base_.codec.input_size,
                loss_weight=0.1,
            )
        ),
    ),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
