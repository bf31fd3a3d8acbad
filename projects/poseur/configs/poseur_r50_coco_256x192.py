# Poseur (Mao et al., ECCV 2022) with ResNet-50 on COCO: C2 to C5 without an encoder, 325 epochs. Not trained on COCO.
_base_ = "../../../configs/tfpose_r50_coco_256x192.py"
custom_imports = dict(imports=[*_base_.custom_imports.imports, "projects.poseur.poseur"])

_base_.model.pop("neck")
model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    head=dict(
        _delete_=True, type="PoseurHead", in_channels=[256, 512, 1024, 2048], num_joints=17, decoder=_base_.codec
    ),
    test_cfg=dict(keypoint_scores="sigma"),
)
train_cfg = dict(max_epochs=325)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(_delete_=True, custom_keys={"sampling_offsets": dict(lr_mult=0.1)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=500, by_epoch=False),
    dict(type="MultiStepLR", milestones=[255, 310], gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=256)
