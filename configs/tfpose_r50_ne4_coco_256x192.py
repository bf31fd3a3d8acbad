# TFPose, ResNet-50, N_E 4 ("N_D = 4" of Tables 5 and 6). Not trained on COCO yet; the paper reports 70.5 AP on val2017.
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(neck=dict(num_layers=4))
