# The example for your own data at 128x96.
_base_ = ["_base_/lspet_128x96.py", "_base_/tfpose_r18.py", "_base_/recipe.py"]

model = dict(head=dict(num_joints=14, decoder=_base_.codec))
