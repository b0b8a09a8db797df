"""Many cases, one after the other: their names, what is already done, failures that do not affect the others."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..report import study_words, to_json
from ..results import Analysis
from ..text import error_message, format_duration, safe_file_name, utf8_safe
from ..volume import read_ct
from ..volume.dicom import is_dicom
from ..volume.readers import case_name
from .case import SCENE, check_target, write_case
from .progress import Console
from .summary_table import Summary

_READ, _ANALYZED = 0.05, 0.90  # progress after reading and after the analysis; the rest is writing


@dataclass(frozen=True)
class Case:
    """One input under the name of its result folder."""

    name: str
    source: str  # path as given


def name_cases(inputs: Sequence[str]) -> list[Case]:
    """A case for each distinct input.

    Inputs of the same name (``a/ct.nii.gz`` and ``b/ct.nii.gz``) are prefixed with the names of as many parent folders
    as needed (``a_ct``, ``b_ct``), so that a name depends on the inputs, not on their order.
    """
    sources = list({os.path.abspath(source): source for source in inputs}.values())
    depth = dict.fromkeys(sources, 0)
    for _ in range(8):
        names = {source: _name(source, depth[source]) for source in sources}
        count = Counter(name.casefold() for name in names.values())  # some file systems ignore case
        twins = [source for source in sources if count[names[source].casefold()] > 1]
        if not twins:
            break
        for source in twins:
            depth[source] += 1
    cases: list[Case] = []
    taken: set[str] = set()
    for source in sources:
        name, number = names[source], 1
        while name.casefold() in taken:
            number += 1
            name = f"{names[source]}-{number}"
        taken.add(name.casefold())
        cases.append(Case(name, source))
    return cases


def _name(source: str, parents: int) -> str:
    """File name without its suffix, or folder name, after the names of so many parent folders."""
    path = Path(os.path.abspath(source))
    if path.name.upper() == "DICOMDIR" or (path.is_file() and is_dicom(path)):
        path = path.parent  # the name of a DICOM file may be that of a patient
    folders = [parent.name for parent in list(path.parents)[:parents] if parent.name]
    name = "_".join([*map(utf8_safe, reversed(folders)), case_name(path)])
    short = safe_file_name(name)[:120].encode()[:200].decode(errors="ignore")  # systems count bytes
    return short.strip(" .") or "case"


@dataclass
class Batch:
    """Analyzes cases one after the other into ``output``.

    analyzer: has ``analyze(ct, progress)``. settings: ``model`` (checksum), ``preset`` and ``threshold`` of this run,
    to report results that were made with other settings. ``done``, ``skipped`` and ``failed`` count the cases.
    """

    output: Path
    analyzer: Any
    console: Console
    settings: Mapping[str, Any] = field(default_factory=dict)
    series: int | str | None = None
    scene: bool = True
    overwrite: bool = False
    debug: bool = False
    done: int = 0
    skipped: int = 0
    failed: int = 0
    current: str = ""

    def __post_init__(self) -> None:
        self.summary = Summary(self.output / "summary.csv")

    def run(self, cases: Sequence[Case]) -> None:
        """Analyze every case, whether or not others fail."""
        start = time.monotonic()
        for number, case in enumerate(cases):
            place = f"[{number + 1}/{len(cases)}] " if len(cases) > 1 else ""
            self.run_case(case, place)
            left = len(cases) - number - 1
            if self.done and left:
                pace = (time.monotonic() - start) / (self.done + self.failed)
                self.console.note(f"{left} to go, about {format_duration(pace * left)}")

    def run_case(self, case: Case, place: str = "") -> Analysis | None:
        """One case: its analysis, or None if it was done before or failed. Raises no Exception."""
        self.current = case.name
        try:
            if not self._done_before(case):
                return self._analyze(case, place)
        except Exception as error:
            self._fail(case, error_message(error))
            if self.debug:
                self.console.error(traceback.format_exc())
        return None

    def _analyze(self, case: Case, place: str) -> Analysis:
        start = time.monotonic()
        progress = self.console.progress(f"{place}{case.name}")
        try:
            progress(0.0, "Reading")
            # Nodes, folders and rows of the summary are named after the case, which is unique in this batch.
            ct = dataclasses.replace(read_ct(case.source, self.series), name=case.name)
            progress(_READ, "Segmenting the lungs")
            analysis = self.analyzer.analyze(ct, progress.part(_READ, _ANALYZED))
            progress(_ANALYZED, "Writing")
            folder = write_case(analysis, self.output / case.name, self.scene, self.overwrite)
        finally:
            progress.close()
        seconds = time.monotonic() - start
        try:
            self.summary.done(case.name, to_json(analysis), seconds)
        except (OSError, ValueError) as error:
            self.failed += 1
            text = f"The result in {folder} is complete, but missing in summary.csv; the next run adds it."
            self.console.error(f"{case.name}: {text} {error_message(error)}")
            return analysis
        self.done += 1
        for warning in analysis.warnings:
            self.console.note(f"{case.name}: note: {warning}")
        self.console.result(f"{place}{case.name}: {_summary_line(analysis)} ({format_duration(seconds)}) -> {folder}")
        return analysis

    def _done_before(self, case: Case) -> bool:
        """Whether the case has a result and is to be skipped.

        Raises FileExistsError where the folder of that name holds something else.
        """
        folder = self.output / case.name
        if self.overwrite or not (folder / "analysis.json").is_file():
            check_target(folder, self.overwrite)
            return False
        data = _read_result(folder)
        source = str(data["input"].get("path", ""))
        if os.path.abspath(source) != os.path.abspath(utf8_safe(case.source)):
            raise FileExistsError(
                f"{folder} holds the analysis of another input ({source}): "
                "choose another output folder, or --overwrite."
            )
        if case.name not in {row["case"] for row in self.summary.rows() if row["status"] == "done"}:
            self.summary.done(case.name, data)
        self.skipped += 1
        self.console.result(f"{case.name}: already done, skipped{self._differences(data, folder)}")
        return True

    def _differences(self, data: Mapping[str, Any], folder: Path) -> str:
        """How an earlier result differs from this run, in parentheses."""
        earlier = {**data["config"], "model": data["model"].get("checksum")}
        settings = {name: value for name, value in self.settings.items() if value is not None}
        differences = [f"other {name}" for name in settings if earlier.get(name, settings[name]) != settings[name]]
        if self.scene and not (folder / SCENE).exists():
            differences.append(f"no {SCENE}")
        return f" ({', '.join(differences)}: --overwrite to repeat)" if differences else " (--overwrite to repeat)"

    def _fail(self, case: Case, error: str) -> None:
        self.failed += 1
        if (self.output / case.name / "analysis.json").is_file() and self.overwrite:
            error += " The earlier result was kept."
        self.console.error(f"{case.name}: {error}")
        try:
            self.summary.failed(case.name, utf8_safe(case.source), error)
        except (OSError, ValueError) as problem:
            self.console.error(f"summary.csv: {error_message(problem)}")


def _read_result(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
        if all(isinstance(data[name], dict) for name in ("input", "model", "config", "summary")):
            return data
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ValueError(f"{folder / 'analysis.json'} is damaged: --overwrite to repeat the case.")


def _summary_line(analysis: Analysis) -> str:
    summary = analysis.summary
    if summary.probability is None:
        return study_words(analysis)
    return (
        f"study probability {summary.probability:.2f} ({'positive' if summary.positive else 'negative'}); "
        f"{summary.positive_slices} of {summary.lung_slices} lung slices positive, "
        f"lesions: {summary.lesion_count}"
    )
