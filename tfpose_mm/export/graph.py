"""The part of a model that is exported: from normalised pixels to keypoints and scores."""

from __future__ import annotations

import copy

import torch
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from .folded_attention import fold_attention


class InferenceGraph(nn.Module):
    """A top-down estimator with a ``TFPoseHead`` whose inputs and outputs are tensors.

    MMPose's ``predict`` takes data samples and decodes with numpy. The flip test, if any, is part of the graph.

    Args:
        model: The estimator, in evaluation mode; it is copied.
        metainfo: The data set's ``flip_indices``.
        input_size: Width and height of the input.
        flip_test: Whether the mean of image and mirrored image is predicted.
    """

    def __init__(
        self,
        model: TopdownPoseEstimator,
        metainfo: dict,
        input_size: tuple[int, int],
        flip_test: bool,
    ) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        fold_attention(self.model)
        self.sample = PoseDataSample(
            metainfo=dict(flip_indices=list(metainfo["flip_indices"]), input_size=tuple(input_size))
        )
        self.test_cfg = {**(model.test_cfg or {}), "flip_test": flip_test, "output_heatmaps": False}
        self.eval()  # torch.onnx.export sets the mode of this module for all its parts

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            images: (B, 3, h, w), normalised.

        Returns:
            Keypoints (B, K, 2), (x, y) in pixels of the input in MMPose's convention; and scores (B, K).
        """
        head = self.model.head
        coordinates, scores, _ = head.predict_tensors(self.features(images), self.sample.metainfo, self.test_cfg)
        return coordinates * coordinates.new_tensor(head.decoder.input_size), scores

    def features(self, images: Tensor) -> tuple[Tensor, ...] | list[tuple[Tensor, ...]]:
        """The maps of neck or backbone, with flip test those of image and mirrored image."""
        if not self.test_cfg["flip_test"]:
            return self.model.extract_feat(images)
        maps = self.model.extract_feat(torch.cat([images, images.flip(-1)]))
        pairs = [level.reshape(2, -1, *level.shape[1:]) for level in maps]
        return [tuple(pair[view] for pair in pairs) for view in (0, 1)]
