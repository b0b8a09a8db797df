"""Results as tables, chart and text. Columns are named as in the CSV files and have titles for display."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from ..report.json_csv import to_json
from ..report.wording import positive_class
from ..results import Analysis
from .mrml import vtk
from .ownership import ResultNodeFactory
from .stored_edits import ClusterEdits

_ARRAYS = {int: vtk.vtkIntArray, float: vtk.vtkDoubleArray, str: vtk.vtkStringArray, bool: vtk.vtkBitArray}
_CURVE = (0.84, 0.15, 0.16)


def make_slices_table(factory: ResultNodeFactory, analysis: Analysis) -> Any:
    """One row per slice of the input."""
    rows = analysis.slices
    table = _table(factory, "slices")
    _column(table, "index", "Slice", int, [row.index for row in rows])
    _column(table, "position_mm", f"Position ({_unit(analysis)})", float, [row.position_mm for row in rows])
    _column(table, "lung", "Lung", bool, [row.lung for row in rows])
    _column(table, "probability", "Probability", float, [row.probability for row in rows])
    _column(table, "diagnosis", "Diagnosis", str, [row.diagnosis for row in rows])
    _column(table, "positive", "Positive", bool, [row.positive for row in rows])
    _column(table, "lesions", "Lesions", int, [len(row.lesions) for row in rows])
    return table


def make_lesions_table(
    factory: ResultNodeFactory, analysis: Analysis, boxed: Collection[int], edits: ClusterEdits
) -> None:
    """One row per lesion; ``boxed`` are the ids of those that have a box in the views."""
    unit, rows = _unit(analysis), analysis.lesions
    table = _table(factory, "lesions")
    _column(table, "id", "Lesion", int, [row.id for row in rows])
    _column(table, "name", "Name", str, [edits.label(row) for row in rows])
    _column(table, "type", "Type", str, [row.type or "" for row in rows])
    _column(table, "cluster", "Cluster", int, [row.cluster for row in rows])
    _column(table, "cluster_name", "Cluster name", str, [row.cluster_name for row in rows])
    _column(table, "activation", "Activation", float, [row.activation for row in rows])
    _column(table, "first_slice", "First slice", int, [row.first_slice for row in rows])
    _column(table, "last_slice", "Last slice", int, [row.last_slice for row in rows])
    _column(table, "volume_ml", "Volume (ml)", float, [row.volume_ml for row in rows])
    _column(table, "mean_hu", "Mean (HU)", float, [row.mean_hu for row in rows])
    points = {"peak": [row.peak_ras_mm for row in rows]}
    points |= {edge: [row.box_ras_mm[end] for row in rows] for end, edge in enumerate(("min", "max"))}
    for name, values in points.items():
        for axis, letter in enumerate("ras"):
            title = f"{name.title()} {letter.upper()} ({unit})"
            _column(table, f"{name}_{letter}_mm", title, float, [value[axis] for value in values])
    _column(table, "slice_lesions", "Slice lesions", int, [len(row.slice_lesions) for row in rows])
    _column(table, "box", "Box", bool, [row.id in boxed for row in rows])


def _unit(analysis: Analysis) -> str:
    return "mm" if analysis.calibrated else "pixel"


def name_lesions(table: Any, analysis: Analysis, edits: ClusterEdits) -> None:
    """Update the names in the table of lesions."""
    names = table.GetTable().GetColumnByName("name")
    cluster_names = table.GetTable().GetColumnByName("cluster_name")
    for row, lesion in enumerate(analysis.lesions):
        names.SetValue(row, edits.label(lesion))
        cluster_names.SetValue(row, lesion.cluster_name)
    table.GetTable().Modified()


def make_chart(factory: ResultNodeFactory, analysis: Analysis, slices_table: Any) -> None:
    """The probability along the slices as a plot. Slices without lung are gaps in the curve."""
    series = factory.node("vtkMRMLPlotSeriesNode", "series", "probability")
    series.SetAndObserveTableNodeID(slices_table.GetID())
    series.SetPlotType(series.PlotTypeScatter)
    series.SetXColumnName("index")
    series.SetYColumnName("probability")
    series.SetLineStyle(series.LineStyleSolid)
    series.SetMarkerStyle(series.MarkerStyleCircle)
    series.SetColor(*_CURVE)
    chart = factory.node("vtkMRMLPlotChartNode", "chart", "chart")
    chart.SetTitle(f"{factory.ct.GetName()}: probability of {positive_class(analysis)}")
    chart.SetXAxisTitle("Slice")
    chart.SetYAxisTitle("Probability")
    chart.SetLegendVisibility(False)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    if not chart.HasPlotSeriesNodeID(series.GetID()):
        chart.AddAndObservePlotSeriesNodeID(series.GetID())


def make_texts(factory: ResultNodeFactory, analysis: Analysis, notes: Sequence[str]) -> Any:
    """Text nodes with the content of ``analysis.json``, which is returned, and with the warnings, if any."""
    text = factory.node("vtkMRMLTextNode", "analysis", "analysis")
    write_record(text, analysis)
    if notes:
        factory.node("vtkMRMLTextNode", "warnings", "warnings").SetText("\n".join(notes))
    return text


def write_record(text: Any, analysis: Analysis) -> None:
    """Store all of an analysis but its voxels, with the model card, for ``read_record``."""
    text.SetText(json.dumps(to_json(analysis, card=True), ensure_ascii=False, allow_nan=False))


def _table(factory: ResultNodeFactory, role: str) -> Any:
    node = factory.node("vtkMRMLTableNode", role, role)
    node.SetLocked(True)
    node.RemoveAllColumns()
    node.SetUseColumnTitleAsColumnHeader(True)
    return node


def _column(node: Any, name: str, title: str, dtype: type, values: Sequence[Any]) -> None:
    """Append a typed column; None becomes NaN, which charts skip."""
    array = _ARRAYS[dtype]()
    array.SetName(name)
    array.SetNumberOfValues(len(values))
    for row, value in enumerate(values):
        array.SetValue(row, float("nan") if value is None else dtype(value))
    node.AddColumn(array)
    node.SetColumnTitle(name, title)
    if dtype is float:
        node.SetColumnProperty(name, "nullValue", "nan")
