# N_E 4 ("N_D = 4" of Table 6): mim test writes what COCO's server takes. The paper reports 70.5 AP on test-dev2017.
_base_ = ["tfpose_r50_ne4_coco_256x192.py", "_base_/coco_testdev.py"]

test_dataloader = dict(dataset=dict(bbox_file=f"{_base_.data_root}/{_base_.testdev.boxes}", **_base_.testdev.dataset))
test_evaluator = dict(folder="work_dirs/{{ fileBasenameNoExtension }}", **_base_.testdev.evaluator)
