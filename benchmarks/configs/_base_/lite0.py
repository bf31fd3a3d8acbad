# A pretrained EfficientNet-Lite0, by timm through mmpretrain, which configs put into their model.
# docs/training.md shows how to get the weights. Any timm backbone can be used in this way.
lite0 = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(
        _delete_=True,
        type="mmpretrain.TIMMBackbone",
        model_name="tf_efficientnet_lite0",
        features_only=True,
        pretrained=False,  # timm would download its own weights
        out_indices=(2, 3, 4),  # strides 8, 16 and 32
        init_cfg=dict(type="Pretrained", checkpoint="data/efficientnet_lite0.pth"),
    ),
)
