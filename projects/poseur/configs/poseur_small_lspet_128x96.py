# Poseur in the small-scale comparison on Leeds Sports Pose Extended: 20 epochs from scratch.
# Backbone, width, decoder layers and schedule are those of tfpose_small_lspet_128x96.py.
_base_ = "../../../benchmarks/configs/tfpose_small_lspet_128x96.py"
custom_imports = dict(imports=[*_base_.custom_imports.imports, "projects.poseur.poseur"])

_base_.model.pop("neck")
model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    head=dict(
        _delete_=True,
        type="PoseurHead",
        in_channels=[24, 48, 96, 192],
        num_joints=14,
        embed_dims=64,
        num_layers=2,
        feedforward_channels=256,
        dropout=0.0,
        norm_cfg=dict(type="GN", num_groups=8),
        decoder=_base_.codec,
    ),
    test_cfg=dict(keypoint_scores="sigma"),
)
