"""What a trained model does: figures of its attention, errors by keypoint and layer, a report."""

from __future__ import annotations
