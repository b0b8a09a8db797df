"""``report.html``: one self-contained page with inline style, SVG and images, without scripts."""

from __future__ import annotations

import base64
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .. import RESEARCH_NOTICE
from ..atomic_io import atomic_file
from ..colors import cluster_color
from ..results import Analysis, Lesion
from .figures import LUNG_WINDOW_HU, SliceFigure, slice_figures
from .json_csv import plain
from .probability_chart import probability_chart
from .style import STYLE
from .wording import study_words, threshold_of

# Even if an unescaped text got into the page, it could neither run nor load anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_CAUTION = (
    "This is the output of a network, not the probability of a disease: "
    "other conditions can look the same, and a low value does not exclude it."
)


def write_html(analysis: Analysis, path: str | Path, figures: int = 6) -> None:
    """Write the report with up to so many slice images, dated now. Raises OSError."""
    created = time.strftime("%Y-%m-%d %H:%M")
    with atomic_file(Path(path)) as partial:
        partial.write_text(report_html(analysis, figures, created), encoding="utf-8")


def report_html(analysis: Analysis, figures: int = 6, created: str = "") -> str:
    """The page as text."""
    card = str(analysis.model.get("card") or "This model has no card.")
    sections = [
        _top(analysis, created),
        f'<div class="notice" role="note">{escape(RESEARCH_NOTICE)}</div>',
        _result(analysis),
        _warnings(analysis),
        _cards(analysis),
        _chart(analysis),
        _figures(analysis, figures),
        _lesion_table(analysis),
        _card("Model card", f"<pre>{escape(card)}</pre>", "long"),
        _settings(analysis),
        f"<footer>{escape(RESEARCH_NOTICE)}</footer>",
    ]
    return document(analysis.name, sections)


def document(title: str, sections: Sequence[str], style: str = "") -> str:
    """A whole page of HTML ``sections`` without the empty ones; ``style`` is CSS in addition to that of all reports."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} - LesionAnalysis</title>\n<style>{STYLE}{style}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(section for section in sections if section) + "\n</main>\n</body>\n</html>\n"
    )


def _card(title: str, body: str, style: str = "") -> str:
    return f'<section class="card {style}"><h2>{escape(title)}</h2>{body}</section>'


def _top(analysis: Analysis, created: str) -> str:
    model = analysis.model
    lines = [created, f"Model {model.get('title') or model.get('id', '')}"]
    if model.get("license"):
        lines.append(f"Model license: {model['license']}")
    meta = "<br>".join(escape(str(line)) for line in lines if line)
    return (
        '<header class="top"><div><div class="brand">LesionAnalysis &middot; chest CT report</div>'
        f'<h1>{escape(analysis.name)}</h1></div><div class="meta">{meta}</div></header>'
    )


def _result(analysis: Analysis) -> str:
    """Study probability as number, gauge and words."""
    summary = analysis.summary
    words = f'<div class="words">{escape(study_words(analysis))}.</div>'
    if summary.probability is None:
        number = '<div class="number">&ndash;</div>'
        return f'<section class="card result unknown-tone">{number}<div>{words}</div></section>'
    threshold = threshold_of(analysis.config)
    tone, side = ("positive-tone", "at or above") if summary.positive else ("negative-tone", "below")
    percent = 100 * min(max(summary.probability, 0), 1)
    tick = f'<div class="tick" style="left:{100 * threshold:.1f}%"><span>threshold {threshold:.2f}</span></div>'
    return (
        f'<section class="card result {tone}"><div><div class="number">{summary.probability:.2f}</div>'
        f'<div class="unit">study probability, 0 to 1</div></div><div>{words}'
        f'<div class="gauge"><div class="fill" style="width:calc({percent:.1f}% + 2px)"></div>{tick}</div>'
        f"<div>Training class it resembles: <strong>{escape(summary.diagnosis)}</strong> "
        f"(study probability {side} the threshold). <span class=soft>{_CAUTION}</span></div></div></section>"
    )


def _warnings(analysis: Analysis) -> str:
    if not analysis.warnings:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in analysis.warnings)
    return _card("Please note", f"<ul>{items}</ul>", "warnings")


def _cards(analysis: Analysis) -> str:
    """The study in four cards."""
    summary = analysis.summary
    share = summary.positive_slices / max(summary.lung_slices, 1)
    positive = _big(summary.positive_slices, f"of {summary.lung_slices} lung slices")
    rows = _row(f"{100 * share:.0f} % of lung slices") + _row(f"{summary.total_slices} slices in the input")
    cards = {
        "Positive slices": positive + rows,
        "Lesions by cluster": _lesion_counts(analysis),
        "Involved lung": _involved(analysis),
        "Input": _input(analysis),
    }
    return '<div class="cards">' + "".join(_card(title, body) for title, body in cards.items()) + "</div>"


def _big(value: Any, unit: str = "") -> str:
    return f'<div class="big">{value} <small>{escape(unit)}</small></div>'


def _row(name: str, value: str = "") -> str:
    return f'<div class="row"><span class=soft>{escape(name)}</span><span>{escape(value)}</span></div>'


def _lesion_counts(analysis: Analysis) -> str:
    counts = Counter(lesion.cluster for lesion in analysis.lesions)
    rows = [
        f'<div class="row"><span>{_cluster(analysis, number)}</span><span>{counts[number]}</span></div>'
        for number in sorted(set(analysis.cluster_names) | set(counts))
    ]
    return _big(analysis.summary.lesion_count, "in 3D") + "".join(rows)


def _involved(analysis: Analysis) -> str:
    share = analysis.summary.involved_lung_share
    html = _big("&ndash;") if share is None else _big(f"{100 * share:.1f} %")
    html += _row("lesion volume / lung volume")
    if analysis.calibrated and analysis.lesions:
        volume = sum(lesion.volume_ml or 0 for lesion in analysis.lesions)
        html += _row("all lesions", f"{_number(volume, 1)} ml")
    return html


def _cluster(analysis: Analysis, number: int) -> str:
    """Color chip, number and name of a cluster."""
    name = str(analysis.cluster_names.get(number, ""))
    name = re.sub(rf"^cluster {number}\b[\s:,-]*", "", name, flags=re.IGNORECASE)  # the number precedes it
    chip = f'<span class="chip" style="background:{cluster_color(number)}"></span>'
    return f"{chip}C{number} {escape(name)}".rstrip()


def _input(analysis: Analysis) -> str:
    given = analysis.input
    size, spacing = given.get("size"), given.get("spacing_mm")
    rows = [("type", str(given.get("kind") or "CT"))]
    if size is not None:
        rows.append(("size", " × ".join(str(int(one)) for one in size)))
    if analysis.calibrated and spacing is not None:
        rows.append(("voxel", " × ".join(f"{float(one):.4g}" for one in spacing) + " mm"))
    rows.append(("gray values", "HU" if analysis.calibrated else "uncalibrated, no spacing"))
    return "".join(_row(name, value) for name, value in rows)


def _chart(analysis: Analysis) -> str:
    legend = (
        '<div class="legend"><span><span class="chip swatch-positive"></span>positive slice</span>'
        '<span><span class="chip swatch-bar"></span>below the threshold</span>'
        "<span>no bar: too little lung, not analyzed</span></div>"
    )
    return _card("Probability along the slices", probability_chart(analysis) + legend)


def _figures(analysis: Analysis, count: int) -> str:
    html = "".join(_figure(analysis, figure) for figure in slice_figures(analysis, count))
    if not html:
        return ""
    if analysis.lesions:
        title = "Slices with the highest lesion activation"
        text = "Overlay: lesion activation map (LAM), the regions that the network responded to. Box colors:"
        numbers = sorted({lesion.cluster for lesion in analysis.lesions})
        text += "".join(f" <span>{_cluster(analysis, number)}</span>" for number in numbers)
    else:
        title = "Slices with the highest probability"
        text = "No lesions were found, so no activation map is shown."
    if analysis.calibrated:
        low, high = LUNG_WINDOW_HU
        window = f"width {high - low:.0f}, level {(low + high) / 2:.0f} HU"
        text += f" <span class=soft>Lung window ({window}); the patient’s right is on the left.</span>"
    else:
        text += " <span class=soft>Images are shown as stored: sides and scale are unknown.</span>"
    return _card(title, f'<p class="legend">{text}</p><div class="figures">{html}</div>', "long new-page")


def _figure(analysis: Analysis, figure: SliceFigure) -> str:
    labels = [
        escape(lesion.label)
        for lesion in analysis.lesions
        if any(part.slice_index == figure.index for part in lesion.slice_lesions)
    ]
    names = ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
    text = f"Slice {figure.index}" + (f": {names}" if names else "")
    width, height = figure.size
    data = base64.b64encode(figure.png).decode("ascii")
    return (
        f'<figure><img alt="{escape(figure.caption)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )


def _lesion_table(analysis: Analysis) -> str:
    if not analysis.lesions:
        return _card("Lesions", "<p>No lesions were found.</p>")
    text = (
        "<p><small>Largest first. Type: by the share of voxels above -300 HU. "
        "Cluster: group of similar lesions found in the training data. "
        "Activation: peak of the activation map times the probability of its slice, 0 to 1. "
        "Slices are counted from 0 in the order of the file.</small></p>"
    )
    rows = [_lesion_cells(analysis, lesion) for lesion in analysis.lesions]
    head = "".join(f"<th{align}>{escape(name)}</th>" for name, align, _ in rows[0])
    body = "".join("<tr>" + "".join(f"<td{align}>{cell}</td>" for _, align, cell in row) + "</tr>" for row in rows)
    table = f"<table class=lesions><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _card(f"Lesions ({len(analysis.lesions)})", f"{text}<div class=scroll>{table}</div>", "long")


def _lesion_cells(analysis: Analysis, lesion: Lesion) -> list[tuple[str, str, str]]:
    """Column, attribute and HTML of each cell; uncalibrated images have no type, volume and HU."""
    number = " class=num"
    first, last = lesion.first_slice, lesion.last_slice
    peak = ", ".join(_number(value, 0) for value in lesion.peak_ras_mm)
    cells = [
        ("Lesion", "", f"<strong>L{lesion.id:02d}</strong>"),
        ("Type", "", escape(lesion.type or "–")),
        ("Cluster", "", _cluster(analysis, lesion.cluster)),
        ("Activation", number, f"{lesion.activation:.2f}"),
        ("Slices", number, str(first) if first == last else f"{first}–{last}"),
        ("Volume (ml)", number, _number(lesion.volume_ml, 2)),
        ("Mean (HU)", number, _number(lesion.mean_hu, 0)),
        (f"Peak R, A, S ({'mm' if analysis.calibrated else 'pixel'})", number, peak),
    ]
    return [cell for cell in cells if analysis.calibrated or cell[0] not in ("Type", "Volume (ml)", "Mean (HU)")]


def _number(value: float | None, digits: int) -> str:
    """A number with a typographic minus sign; a dash for a missing value."""
    text = "–" if plain(value) is None else f"{value:.{digits}f}"
    return text.replace("-", "−") if float(value or 0) else text.lstrip("-")


def _settings(analysis: Analysis) -> str:
    model = {key: value for key, value in analysis.model.items() if key not in ("card", "positive")}
    settings = _flat({"model": model, **analysis.config, "device used": analysis.device})
    seconds = [(stage, f"{value:.2f}") for stage, value in analysis.timing_s.items()]
    cards = _card("Settings", _table(settings), "long") + _card("Time in seconds", _table(seconds, " class=num"))
    return f'<div class="two">{cards}</div>'


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        value = plain(value)
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            items = value if isinstance(value, list) else [value]
            rows.append((f"{prefix}{key}", ", ".join("–" if item is None else str(item) for item in items)))
    return rows


def _table(rows: Iterable[tuple[str, str]], align: str = "") -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td{align}>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"
