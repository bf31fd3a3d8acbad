from __future__ import annotations

import cv2
from matplotlib.figure import Figure

from tfpose_mm.analysis.curves import Curve, draw_curves


def test_every_name_has_a_look_of_its_own_and_seeds_share_it(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, f=Figure.savefig, **kw: figures.append(self) or f(self, *args, **kw)
    )
    names = [f"model {index}" for index in range(13)]
    curves = [Curve(name, {2: 0.1 * index, 1: 0.0}) for index, name in enumerate(names)]
    curves.append(Curve("model 3", {1: 0.05, 2: 0.25}))
    draw_curves(curves, "PCK@0.2", tmp_path / "curves.png")

    (axis,) = figures[0].axes
    looks = [(line.get_color(), line.get_linestyle()) for line in axis.get_lines()]
    assert len(looks) == 14
    assert len(set(looks)) == 13
    assert all(list(line.get_xdata()) == [1, 2] for line in axis.get_lines())
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[0] == "model 12"
    assert "model 3 (2 seeds)" in labels
    assert len(labels) == 13
    assert axis.get_legend().get_window_extent().x0 >= axis.get_window_extent().x1
    assert cv2.imread(str(tmp_path / "curves.png")) is not None
