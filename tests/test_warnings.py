"""The settings of pytest: a deprecation warning of our own code is an error, one of the host packages is not."""

from __future__ import annotations

import warnings

import pytest


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_our_own_deprecated_calls_are_errors(category):
    for module in ("tfpose_mm.models.heads.tfpose_head", "tfpose_mm.host.requirements", "benchmarks.runs"):
        with pytest.raises(category):
            warnings.warn_explicit("old", category, "file.py", 1, module=module)
    warnings.warn_explicit("old", category, "file.py", 1, module="mmpose.models")
