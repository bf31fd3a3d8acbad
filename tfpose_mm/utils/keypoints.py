"""MMPose's metainfo of keypoints."""

from __future__ import annotations


def keypoint_names(metainfo: dict) -> list[str]:
    """Names of the keypoints, in order.

    Args:
        metainfo: MMPose's metainfo, as of a data set.

    Returns:
        The K names.
    """
    return [metainfo["keypoint_id2name"][index] for index in range(metainfo["num_keypoints"])]
