"""A codec for the coordinates and the UDP heat maps of one instance."""

from __future__ import annotations

import numpy as np
from mmpose.codecs import UDPHeatmap
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS

from ..errors import UserError


@KEYPOINT_CODECS.register_module()
class TFPoseLabel(BaseKeypointCodec):
    """Targets of TFPose: normalised coordinates, and heat maps for the auxiliary loss.

    Coordinates follow Unbiased Data Processing (UDP), as does ``TopdownAffine(use_udp=True)``: the centre of the first
    pixel of the crop has label 0 and that of the last pixel has label 1. So ``label = (x / (w - 1), y / (h - 1))``
    and a flipped label is ``1 - x``. Decoding multiplies by ``(w, h)``, as :class:`mmpose.codecs.UDPHeatmap` does,
    because ``TopdownPoseEstimator.add_pred_to_datasample`` divides by ``(w, h)``. ``RegressionLabel`` divides by ``w``
    instead. With UDP crops this would shift the keypoints, by one pixel at the right and the bottom border of the crop.

    Source: TFPose, section 3.4 (targets) and section 4.1 (UDP heat maps).

    Note:
        N is the number of instances (always 1), K of keypoints. Input size (w, h), heat-map size (W, H), in pixels.

    Encoded:
        - keypoint_labels (N, K, 2) float32: (x, y) in [0, 1] for keypoints inside the crop.
        - keypoint_weights (N, K) float32: 1 for labelled keypoints inside the crop, else 0.
        - heatmaps (K, H, W) float32: Gaussians of height 1 (only with ``heatmap_size``).

    Args:
        input_size: Width and height of the input, in pixels.
        heatmap_size: Width and height of the auxiliary heat maps. ``None`` makes no heat maps, for a head without the
            auxiliary branch. Defaults to ``None``.
        sigma: Standard deviation of the Gaussians, in heat-map pixels. Defaults to 2.0.

    Raises:
        UserError: If a size is not two integers of at least 2.
    """

    label_mapping_table = dict(keypoint_labels="keypoint_labels", keypoint_weights="keypoint_weights")  # noqa: RUF012 - MMPose requires class attributes
    field_mapping_table = dict(heatmaps="heatmaps")  # noqa: RUF012 - as above

    def __init__(
        self,
        input_size: tuple[int, int],
        heatmap_size: tuple[int, int] | None = None,
        sigma: float = 2.0,
    ) -> None:
        super().__init__()
        _check_size("input_size", input_size)
        self.input_size = tuple(input_size)
        self.heatmap_codec = None
        if heatmap_size is None:
            self.field_mapping_table = {}
        else:
            _check_size("heatmap_size", heatmap_size)
            self.heatmap_codec = UDPHeatmap(input_size=self.input_size, heatmap_size=tuple(heatmap_size), sigma=sigma)

    def encode(self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode keypoints of the crop as targets.

        Args:
            keypoints: (1, K, 2), (x, y) in pixels of the crop.
            keypoints_visible: (1, K), above 0.5 if a keypoint is labelled. ``None`` means that all are labelled.

        Returns:
            The items listed under "Encoded".

        Raises:
            UserError: If more than one instance is given.
        """
        if keypoints.shape[0] != 1:
            raise UserError(
                f"TFPoseLabel encodes the one instance of a top-down crop, but got {keypoints.shape[0]} instances: "
                "set the data set's data_mode to 'topdown'."
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], dtype=np.float32)

        last_pixel = np.array(self.input_size) - 1
        inside = ((keypoints >= 0) & (keypoints <= last_pixel)).all(axis=-1)  # (1, K)
        encoded = dict(
            keypoint_labels=(keypoints / last_pixel).astype(np.float32),
            keypoint_weights=(inside & (keypoints_visible > 0.5)).astype(np.float32),
        )
        if self.heatmap_codec is not None:
            encoded["heatmaps"] = self.heatmap_codec.encode(keypoints, keypoints_visible)["heatmaps"]
        return encoded

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode predicted labels to keypoints in MMPose's input space.

        Args:
            encoded: (N, K, 2), (x, y) in [0, 1].

        Returns:
            Keypoints (N, K, 2), as ``label * (w, h)``, and scores (N, K), all 1. TFPoseHead replaces
            the scores as ``test_cfg.keypoint_scores`` says.
        """
        keypoints = encoded * np.array(self.input_size, dtype=encoded.dtype)
        return keypoints, np.ones(encoded.shape[:2], dtype=np.float32)


def _check_size(name: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or any(int(side) != side or side < 2 for side in size):
        raise UserError(f"TFPoseLabel needs {name}=(width, height) in whole pixels, each at least 2, but got {size}.")
