"""A small subset of Markdown as safe HTML, for model cards.

Headings, paragraphs, bold, italics, code, nested lists, tables, fenced code, quotes and rules. All text is
escaped: no tag, attribute or link of the source survives as such (a link becomes its text and its address).
"""

from __future__ import annotations

import re
from html import escape

_ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)])\s+(.*)$")
_RULE = re.compile(r"^\s*([-*_])(\s*\1){2,}\s*$")
_BLOCK = re.compile(r"^\s*(#{1,6}\s|```|>)")
_DEEPEST = 12  # levels of quotes and lists; what lies deeper is text
_LONGEST = 4000  # characters of one paragraph that are searched for marks
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")


def to_html(text: str, top_level: int = 3) -> str:
    """HTML of ``text``; its first heading level becomes ``h<top_level>``."""
    return "\n".join(_blocks(text.expandtabs(4).splitlines(), top_level))


def _blocks(lines: list[str], top_level: int, depth: int = 0) -> list[str]:
    html: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        heading = re.match(r"^(#{1,6})\s+(.*?)\s*#*\s*$", line)
        if not line.strip():
            at += 1
        elif line.lstrip().startswith("```"):
            end = _while(lines, at + 1, lambda one: not one.lstrip().startswith("```"))
            html.append(f"<pre>{escape(chr(10).join(lines[at + 1 : end]))}</pre>")
            at = end + 1
        elif heading:
            level = min(len(heading[1]) - 1 + top_level, 6)
            html.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
            at += 1
        elif _RULE.match(line):
            html.append("<hr>")
            at += 1
        elif line.lstrip().startswith(">") and depth < _DEEPEST:
            end = _while(lines, at, lambda one: one.lstrip().startswith(">"))
            inner = [re.sub(r"^\s*>\s?", "", one) for one in lines[at:end]]
            html.append("<blockquote>" + "\n".join(_blocks(inner, top_level, depth + 1)) + "</blockquote>")
            at = end
        elif _starts_table(lines, at):
            end = _while(lines, at + 2, lambda one: "|" in one and bool(one.strip()))
            html.append(_table(line, lines[at + 1], lines[at + 2 : end]))
            at = end
        elif _ITEM.match(line):
            end = _end_of_list(lines, at)
            html.append(_list(lines[at:end]))
            at = end
        else:
            end = _end_of_paragraph(lines, at)
            html.append(f"<p>{_inline(' '.join(one.strip() for one in lines[at:end]))}</p>")
            at = end
    return html


def _while(lines: list[str], at: int, holds) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _starts_table(lines: list[str], at: int) -> bool:
    """Whether a line with cells is followed by the rule of a table."""
    rule = lines[at + 1] if at + 1 < len(lines) else ""
    return "|" in lines[at] and "|" in rule and bool(_TABLE_RULE.match(rule))


def _end_of_list(lines: list[str], at: int) -> int:
    """Items, their indented continuation lines, and blank lines between items."""
    first = lines[at]
    at += 1
    while at < len(lines):
        line, item = lines[at], _ITEM.match(lines[at])
        if not line.strip():
            following = lines[at + 1] if at + 1 < len(lines) else ""
            if not (_ITEM.match(following) or following.startswith("  ")):
                break
        elif _RULE.match(line) or _BLOCK.match(line):
            break
        elif item and _indent(line) <= _indent(first) and _is_numbered(line) != _is_numbered(first):
            break
        elif not item and not line.startswith(" ") and not lines[at - 1].strip():
            break
        at += 1
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_numbered(line: str) -> bool:
    return line.lstrip()[0].isdigit()


def _end_of_paragraph(lines: list[str], at: int) -> int:
    at += 1
    while at < len(lines) and lines[at].strip():
        if any(kind.match(lines[at]) for kind in (_BLOCK, _ITEM, _RULE)) or _starts_table(lines, at):
            break
        at += 1
    return at


def _list(lines: list[str], depth: int = 0) -> str:
    """A list whose items may hold deeper lists (by indentation)."""
    indent, tag = _indent(lines[0]), "ol" if _is_numbered(lines[0]) else "ul"
    items: list[list[str]] = []
    for line in lines:
        item = _ITEM.match(line)
        if item and _indent(line) <= indent:
            items.append([item[3]])
        elif line.strip():
            items[-1].append(line)
    return f"<{tag}>" + "".join(f"<li>{_item(lines, depth)}</li>" for lines in items) + f"</{tag}>"


def _item(lines: list[str], depth: int) -> str:
    inner = next((n for n, line in enumerate(lines) if n and _ITEM.match(line) and depth < _DEEPEST), len(lines))
    text = _inline(" ".join(line.strip() for line in lines[:inner]))
    return text + (_list(lines[inner:], depth + 1) if inner < len(lines) else "")


def _table(header: str, rule: str, rows: list[str]) -> str:
    names = _cells(header)
    align = [" class=num" if cell.endswith(":") else "" for cell in _cells(rule)]
    align += [""] * (len(names) - len(align))
    head = "".join(f"<th{style}>{_inline(name)}</th>" for name, style in zip(names, align, strict=False))
    body = []
    for row in rows:
        cells = (_cells(row) + [""] * len(names))[: len(names)]
        body.append("".join(f"<td{how}>{_inline(one)}</td>" for one, how in zip(cells, align, strict=False)))
    lines = "".join(f"<tr>{row}</tr>" for row in body)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    line = line[:-1] if line.endswith("|") and not line.endswith("\\|") else line
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]


def _inline(text: str) -> str:
    """Escaped text with code, bold, italics and the text of links."""
    if len(text) > _LONGEST:  # the search takes the square of it
        return escape(text)
    parts = re.split(r"(`+)(.+?)\1", text)  # text, ticks, code, text, ticks, code, ...
    html = []
    for number, part in enumerate(parts):
        if number % 3 == 0:
            html.append(_emphasis(escape(part)))
        elif number % 3 == 2:
            html.append(f"<code>{escape(part.strip())}</code>")
    return "".join(html)


def _emphasis(text: str) -> str:
    text = re.sub(r"!?\[([^\[\]]*)\]\(([^()\s]*)(?:\s[^()]*)?\)", _link, text)
    text = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"(?<![\w*])\*(?=[^\s*])([^*]+?)(?<=\S)\*(?![\w*])", r"<em>\1</em>", text)
    return re.sub(r"(?<!\w)_(?=\S)([^_]+?)(?<=\S)_(?!\w)", r"<em>\1</em>", text)


def _link(match: re.Match[str]) -> str:
    text, address = match[1], match[2]
    return text if not address or address == text or address.startswith("#") else f"{text} ({address})"
