from __future__ import annotations

import numpy as np
import torch
from mmpose.codecs import UDPHeatmap

from tfpose_mm.models.layers import sample_heatmaps


def test_between_pixels_bilinearly():
    heatmaps = torch.zeros(1, 1, 3, 5)
    heatmaps[0, 0, 1, 2], heatmaps[0, 0, 1, 3], heatmaps[0, 0, 2, 2] = 0.4, 0.8, 1.0
    for (x, y), value in (((2, 1), 0.4), ((2.5, 1), 0.6), ((2, 1.25), 0.55), ((0, 0), 0.0)):
        point = torch.tensor([[[x / 4, y / 2]]])
        torch.testing.assert_close(sample_heatmaps(heatmaps, point), torch.tensor([[value]]))


def test_each_joint_reads_its_own_map():
    heatmaps = torch.rand(3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    corner = torch.tensor([1.0, 0.0]).expand(3, 5, 2)
    torch.testing.assert_close(sample_heatmaps(heatmaps, corner), heatmaps[:, :, 0, -1])


def test_a_udp_gaussian_is_highest_at_its_keypoint():
    codec = UDPHeatmap(input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    keypoint = np.array([[[37.0, 81.0]]], dtype=np.float32)
    heatmaps = torch.from_numpy(codec.encode(keypoint, np.ones((1, 1)))["heatmaps"])[None]
    label = torch.from_numpy(keypoint) / torch.tensor([95.0, 127.0])
    at_keypoint = sample_heatmaps(heatmaps, label)
    assert at_keypoint > 0.9
    for offset in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert sample_heatmaps(heatmaps, label + torch.tensor(offset)) < at_keypoint


def test_what_lies_outside_is_cut_off():
    heatmaps = torch.tensor([[[[-2.0, 3.0]]]])
    assert sample_heatmaps(heatmaps, torch.tensor([[[0.0, 0.5]]])) == 0
    assert sample_heatmaps(heatmaps, torch.tensor([[[1.0, 0.5]]])) == 1
    assert sample_heatmaps(heatmaps, torch.tensor([[[-4.0, 0.5]]])) == 0  # the border's value
