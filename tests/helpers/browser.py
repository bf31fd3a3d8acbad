"""Open a page in headless Chromium."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace

import pytest

CLIPPED = """
() => [...document.querySelectorAll("main *, header *, nav *")]
  .filter(element => element.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map(element => element.tagName + " " + element.textContent.slice(0, 60))
"""


def open_in_chromium(path, width):
    """Open a file in a window of this width; skip, or under CI fail, without Chromium and playwright.

    Returns the messages of the console and uncaught errors, the requested addresses except data URIs and the page's,
    the document's width in CSS pixels, the images' natural widths, and the texts of elements wider than the window.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        missing = "needs Chromium (apt-get install chromium) and playwright (pip install playwright)"
        assert os.environ.get("CI") != "true", missing
        pytest.skip(missing)
    messages, requests = [], []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(width=width, height=900))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
        width = page.evaluate("document.documentElement.scrollWidth")
        images = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        clipped = page.evaluate(CLIPPED)
        browser.close()
    requests = [url for url in requests if not url.startswith("data:") and url != path.as_uri()]
    return SimpleNamespace(messages=messages, requests=requests, width=width, images=images, clipped=clipped)
