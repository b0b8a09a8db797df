"""The result card: the result of the analysis in a few lines of rich text."""

from __future__ import annotations

from html import escape
from typing import Any

from LesionAnalysisLib import RESEARCH_NOTICE
from LesionAnalysisLib.report.wording import study_words, threshold_of
from slicer.i18n import tr as _

_WARNING_COLOR = "#b45309"


def resultText(record: Any, warnings: tuple[str, ...] = ()) -> str:
    """The card of an ``Analysis`` as rich text for a label; ``warnings``, if any, replace its own."""
    summary = record.summary
    lines = [f"<b>{escape(study_words(record))}</b>"]
    if summary.probability is not None:
        lines.append(_("Study probability: <b>{value:.2f}</b> (threshold {threshold:.2f})").format(
            value=summary.probability, threshold=threshold_of(record.config)))  # fmt: skip
    lines.append(_("{positive} of {lung} lung slices positive ({total} slices in total)").format(
        positive=summary.positive_slices, lung=summary.lung_slices, total=summary.total_slices))  # fmt: skip
    lines.append(_lesions(summary))
    if summary.involved_lung_share is not None:
        lines.append(_("Lung involvement: {share:.1f} %").format(share=100 * summary.involved_lung_share))
    for warning in warnings or record.warnings:
        lines.append(f'<span style="color:{_WARNING_COLOR}">&#9888; {escape(warning)}</span>')
    model = record.model
    lines.append(_("<small>Model: {title} ({id}), license {license}</small>").format(
        title=escape(str(model.get("title", ""))), id=escape(str(model.get("id", ""))),
        license=escape(str(model.get("license", "")))))  # fmt: skip
    lines.append(f"<small>{escape(RESEARCH_NOTICE)}</small>")
    return "<br>".join(lines)


def _lesions(summary: Any) -> str:
    if not summary.lesion_count:
        return _("No lesions")
    parts = ", ".join(f"{escape(str(name))} ({count})" for name, count in summary.lesions_by_cluster.items() if count)
    return _("{count} lesions: {parts}").format(count=summary.lesion_count, parts=parts)
