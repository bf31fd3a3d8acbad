# Two-stage TFPose with ResNet-50 on COCO: the recommended config. It is not in the paper.
# Keypoint maps give y_0 and the scores; the OKS loss replaces L1. The recipe is that of the paper.
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(
    head=dict(
        start=dict(type="KeypointMapStart", radius=4, loss=dict(type="KeypointMapLoss", sigma=2.0)),
        reference_position=True,
        token_position=True,
        loss=dict(
            reg_loss=dict(
                type="KeypointSimilarityLoss",
                sigmas=[  # COCO's
                    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
                    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
                ],
                input_size=_base_.codec.input_size,
                loss_weight=0.1,
            )
        ),
    ),
    test_cfg=dict(keypoint_scores="keypoint_map"),
)
