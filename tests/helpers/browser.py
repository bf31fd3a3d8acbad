"""Open a page in headless Chromium."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field

import pytest


@dataclass
class Opened:
    """What a browser showed and did."""

    messages: list = field(default_factory=list)  # of the console, and uncaught errors
    requests: list = field(default_factory=list)  # addresses, except data URIs and the page's
    width: int = 0  # of the document, in CSS pixels
    images: list = field(default_factory=list)  # natural widths
    clipped: list = field(default_factory=list)  # texts of elements that are wider than the window


CLIPPED = """
() => [...document.querySelectorAll("main *, header *, nav *")]
  .filter(element => element.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(element => element.tagName + " " + element.textContent.slice(0, 60))
"""


def open_in_chromium(path, width):
    """Open a file in a window of this width; skip, or under CI fail, without Chromium and playwright."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        missing = "needs Chromium (apt-get install chromium) and playwright (pip install playwright)"
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
    opened = Opened()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=width, height=900))
        page.on("console", lambda message: opened.messages.append(message.text))
        page.on("pageerror", lambda error: opened.messages.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
        opened.width = page.evaluate("document.documentElement.scrollWidth")
        opened.images = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        opened.clipped = page.evaluate(CLIPPED)
        browser.close()
    opened.requests = [url for url in opened.requests if not url.startswith("data:") and url != path.as_uri()]
    return opened
