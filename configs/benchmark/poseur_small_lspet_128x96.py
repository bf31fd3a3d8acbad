# Poseur from the parts of this package, in the small-scale comparison on Leeds Sports Pose Extended.
# Backbone, width, decoder layers and schedule are those of tfpose_small_lspet_128x96.py; head and losses are those of
# poseur_r50_coco_256x192.py.
_base_ = "tfpose_small_lspet_128x96.py"

_base_.model.pop("neck")
model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    head=dict(
        type="TwoStageTFPoseHead",
        in_channels=[24, 48, 96, 192],
        norm_cfg=dict(type="GN", num_groups=8),
        first_stage=dict(type="RegressionStage"),
        refinement=dict(token_position=True, reference_grad="all", output_branch=True),
        noise_groups=3,
        sigma=True,
        aux_branch=False,
        loss=dict(_delete_=True, type="TFPoseLoss", sigma_layers="all", sigma_weight=1.0),
    ),
    test_cfg=dict(keypoint_scores="sigma"),
)
