from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from tests.helpers.browser import open_in_chromium
from tfpose_mm.analysis.report_page import Bars, Code, Pictures, Section, Table, Text, Tiles, write_page

LONG = "work_dirs/a_very_long_name_without_any_space_" * 6


def picture(extension, width=900):
    image = np.full((60, width, 3), 200, np.uint8)
    return cv2.imencode(extension, image)[1].tobytes()


@pytest.fixture
def page(tmp_path):
    sections = [
        Section("Numbers <b>", [Text(f"a < b & c {LONG}"), Tiles([("AP", "0.5"), (LONG, LONG)]), Code("Open", LONG)]),
        Section("Tables", [Table(["name", *("PCK@0.2",) * 5], [["left_shoulder", *("0.123",) * 5], [LONG, *"12345"]])]),
        Section("Bars", [Bars([("good", "#009e73", "fine"), ("bad", "#d55e00", LONG)], [("nose", [0.25, 0.75])])]),
        Section("Pictures", [Pictures([(picture(".png"), LONG)]), Pictures([(picture(".jpg"), "b")] * 5, small=True)]),
    ]
    write_page("A title", "A subtitle", sections, tmp_path / "page.html")
    return tmp_path / "page.html"


def test_texts_are_escaped_and_nothing_is_outside(page):
    text = page.read_text()
    assert "a &lt; b &amp; c" in text
    assert "<b>" not in text
    assert "<script" not in text
    assert set(re.findall(r'(?:src|href)="(.{5})', text)) == {"data:", "#sect"}
    assert text.count("<img ") == 6
    assert 'aria-label="good 25.0 %, bad 75.0 %"' in text
    assert "width: 25.000%; background: #009e73" in text


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_a_page_fits_the_window(page, width, tmp_path):
    opened = open_in_chromium(page, width, tmp_path / "page.png")
    assert opened.messages == []
    assert opened.requests == []
    assert opened.width == width
    assert opened.clipped == []
    assert opened.images == [900] * 6
