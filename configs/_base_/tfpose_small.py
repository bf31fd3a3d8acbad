# A little wider than the tiny one, for comparisons that two processor cores can train.
_base_ = "tfpose_tiny.py"

model = dict(
    backbone=dict(base_channels=24, stem_channels=24),
    neck=dict(in_channels=[48, 96, 192]),
)
