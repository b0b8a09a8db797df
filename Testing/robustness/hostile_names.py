"""Hostile names, and checks that they do no harm in pages, tables, scenes and file names."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

NAMES = {  # of classes, clusters, patients and series, and of files and folders if the system allows them
    "script": "<script>alert(1)</script>",
    "handler": "\"><img src=x onerror=alert(1)>",
    "entity": "&lt;b&gt;&amp;&#0;",
    "end of a comment": "--><!--]]></style></title>",
    "formula": "=cmd|' C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(A1)",
    "tab": "\t=1+1",
    "line": "a\n=1+1",
    "return": "\r=1+1",
    "apostrophes": "''=1+1",
    "quotes": 'a","b',
    "dollars": "$\\frac{$ and x",
    "ampersand": "Smith & Co",
    "percent": "%s%n{0}{name}",
    "bell": "a\x07b\x1b[31mc",
    "parent folder": "..",
    "long": "x" * 240,
    "long and wide": "患" * 80,
    "right to left": "\u202egnp.exe",
    "combined": "e\u0301\u0308" * 20,
    "reserved": "CON",
    "blank": " ",
    "quote": "`*_[x](javascript:alert(1))|",
}  # fmt: skip

_LOADING = {"src", "href", "action", "formaction", "data", "poster", "background", "srcset", "xlink:href", "ping"}
_TAGS_OF_PAGES = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "div", "span", "p", "h1",
    "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "br", "hr", "small",
    "strong", "pre", "figure", "figcaption", "img", "svg", "rect", "line", "text",
}  # fmt: skip


class _Page(HTMLParser):
    """Collects whatever could run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in _TAGS_OF_PAGES:
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            value = (value or "").strip()
            if name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if name in _LOADING and not value.startswith("data:image/png;base64,"):
                self.found.append(f"{tag} {name}={value}")
            if name == "style" and ("url" in value or "expression" in value):
                self.found.append(f"{tag} style={value}")
            if name == "http-equiv" and value != "Content-Security-Policy":
                self.found.append(f"{tag} {name}={value}")

    handle_startendtag = handle_starttag

    def handle_comment(self, data):
        self.found.append(f"comment {data}")

    def handle_data(self, data):
        self.text.append(data)


def active_content(page: str) -> list[str]:
    """Tags, attributes and addresses of a page that could run or load something; there should be none."""
    parser = _Page()
    parser.feed(page)
    parser.close()
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    return parser.found + re.findall(r"@import|url\(|expression\(", styles)


def words_of(page: str) -> str:
    """The visible text."""
    parser = _Page()
    parser.feed(page)
    return "".join(parser.text)


def formulas(table: str) -> list[str]:
    """Cells of a CSV that a spreadsheet would evaluate: they begin like a formula and are no numbers."""
    found = []
    for row in csv.reader(io.StringIO(table, newline="")):
        for cell in row:
            try:
                float(cell)
            except ValueError:
                if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
                    found.append(cell)
    return found


def scene_texts(path: Path) -> list[bytes]:
    """Names and contents of the files of a scene bundle; raises if its MRML is not well-formed XML."""
    with zipfile.ZipFile(path) as bundle:
        for name in bundle.namelist():
            assert not name.startswith("/") and ".." not in Path(name).parts, name
            if name.endswith(".mrml"):
                ElementTree.fromstring(bundle.read(name))
        return [name.encode() for name in bundle.namelist()] + [bundle.read(name) for name in bundle.namelist()]


def file_named(folder: Path, name: str, suffix: str) -> Path | None:
    """The path of a new file of that name; None if the system does not allow it."""
    if "/" in name or len(f"{name}{suffix}".encode()) > 255:
        return None
    path = folder / f"{name}{suffix}"
    try:
        path.touch()
    except (OSError, ValueError):
        return None
    return path
