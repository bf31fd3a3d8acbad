"""A self-contained HTML page of text, tables, bars and pictures: it makes no request and runs no script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

MIME = {b"\x89PNG": "image/png", b"\xff\xd8\xff\xe0": "image/jpeg"}


@dataclass
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass
class Code:
    """Preformatted text, behind a summary that opens it.

    Attributes:
        summary: The visible line.
        text: The text.
    """

    kind: ClassVar[str] = "code"
    summary: str
    text: str


@dataclass
class Table:
    """A table whose first column has names and whose other columns have numbers.

    Attributes:
        header: The names of the columns.
        rows: The cells of each row.
        total: Whether the last row sums up the others.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: bool = False


@dataclass
class Tiles:
    """Large numbers with a name each.

    Attributes:
        items: Name and value.
    """

    kind: ClassVar[str] = "tiles"
    items: Sequence[tuple[str, str]]


@dataclass
class Bars:
    """Stacked bars of fractions.

    Attributes:
        legend: Name, colour and meaning of each part.
        rows: Label of each bar, and the fractions of its parts; they sum to 1.
    """

    kind: ClassVar[str] = "bars"
    legend: Sequence[tuple[str, str, str]]
    rows: Sequence[tuple[str, Sequence[float]]]


@dataclass
class Pictures:
    """Pictures with captions.

    Attributes:
        items: Encoded picture (PNG or JPEG) and caption.
        small: Whether several fit beside each other.
    """

    kind: ClassVar[str] = "pictures"
    items: Sequence[tuple[bytes, str]]
    small: bool = False


@dataclass
class Section:
    """A section of the page.

    Attributes:
        title: Its heading.
        blocks: Its content.
    """

    title: str
    blocks: Sequence[Text | Code | Table | Tiles | Bars | Pictures] = field(default_factory=list)


def data_uri(picture: bytes) -> str:
    """A picture as the source of an ``img`` element.

    Args:
        picture: A PNG or JPEG file.

    Returns:
        The data URI.
    """
    return f"data:{MIME[picture[:4]]};base64,{base64.b64encode(picture).decode('ascii')}"


def breakable(text: str) -> Markup:
    """A text that may be broken after ``_`` and before ``@``, as in narrow columns.

    Args:
        text: The text.

    Returns:
        Escaped HTML.
    """
    return Markup(str(escape(text)).replace("_", "_<wbr>").replace("@", "<wbr>@"))


def write_page(title: str, subtitle: str, sections: Sequence[Section], path: Path) -> None:
    """Write a page.

    Args:
        title: Its title.
        subtitle: The line below.
        sections: Its sections.
        path: The HTML file.
    """
    environment = Environment(
        loader=PackageLoader("tfpose_mm", "analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=data_uri, breakable=breakable)
    page = environment.get_template("report_page.html.jinja").render(title=title, subtitle=subtitle, sections=sections)
    path.write_text(page, encoding="utf-8")
