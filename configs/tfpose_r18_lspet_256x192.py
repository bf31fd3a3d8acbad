# TFPose with ResNet-18 on Leeds Sports Pose Extended: the example to copy for your own data (docs/own_data.md).
_base_ = ["_base_/lspet_256x192.py", "_base_/tfpose_r18.py", "_base_/recipe.py"]

model = dict(head=dict(num_joints=14, decoder=_base_.codec))
