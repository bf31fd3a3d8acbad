# The main config with 4 encoder layers ("N_D = 4" in Tables 5 and 6).
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(neck=dict(num_layers=4))
