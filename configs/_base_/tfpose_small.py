# TFPose of the small-scale comparison: the tiny one with a wider backbone.
_base_ = "tfpose_tiny.py"

model = dict(
    backbone=dict(base_channels=24, stem_channels=24),
    neck=dict(in_channels=[48, 96, 192]),
)
