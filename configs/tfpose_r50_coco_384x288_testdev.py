# Test the config at 384x288 on COCO test-dev2017 (Table 6).
# mim test writes the json and zip files for COCO's evaluation server. Training does not differ.
_base_ = ["tfpose_r50_coco_384x288.py", "_base_/coco_testdev.py"]

test_dataloader = dict(dataset=dict(bbox_file=f"{_base_.data_root}/{_base_.testdev.boxes}", **_base_.testdev.dataset))
test_evaluator = dict(folder="work_dirs/{{ fileBasenameNoExtension }}", **_base_.testdev.evaluator)
