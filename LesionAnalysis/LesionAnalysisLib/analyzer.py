"""From a CT to its ``Analysis``: lungs, slices, network and maps, 3D lesions, the study.

    analyzer = LesionAnalyzer(ModelBundle.bundled(), AnalysisConfig())
    analysis = analyzer.analyze(read_ct("ct.nii.gz"), progress=lambda fraction, message: None)

It advances in small steps, so that a window can run them one by one while a script loops over them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from scipy.special import expit

from .config import AnalysisConfig
from .lesions.findings import Findings
from .lungs import LungSlice, Preprocessing, lung_slices, segment_lungs
from .model.bundle import ModelBundle
from .model.out_of_distribution import is_out_of_distribution
from .pipeline import SliceBatch, SlicePipeline
from .results import Analysis, SliceDiagnosis, StudySummary
from .steps import run_to_end
from .study import study_probability
from .volume import CtVolume
from .volume.images import UNCALIBRATED

Progress = Callable[[float, str], None]
Steps = Generator[tuple[float, str], None, Analysis]
_LUNGS_DONE, _SLICES_DONE = 0.15, 0.97  # shares of the time, for the progress


class AnalysisCancelled(Exception):  # noqa: N818 - a request, not an error
    """Raise it from ``progress`` to stop an analysis; partial results are discarded."""


class LesionAnalyzer:
    """Loads a model once and analyzes any number of CTs with it.

    Raises ValueError where the device is not available or the model does not fit this version.
    """

    def __init__(self, bundle: ModelBundle, config: AnalysisConfig | None = None) -> None:
        self.bundle, self.config = bundle, config or AnalysisConfig()
        self.preprocessing = self.config.preprocessing or Preprocessing.from_dict(bundle.preprocessing)
        self.threshold = bundle.threshold if self.config.threshold is None else self.config.threshold
        self.clusters = getattr(bundle.clusters, self.config.cluster_by)
        self.pipeline = SlicePipeline(bundle.network(), bundle.positive, self.config, self.preprocessing,
                                      bundle.temperature if self.config.calibrated else 1.0)  # fmt: skip

    def analyze(
        self, ct: CtVolume, progress: Progress | None = None, lung_mask: np.ndarray | None = None
    ) -> Analysis:
        """Analyze a CT.

        Args:
            ct: see ``read_ct`` and ``ct_from_array``.
            progress: called with the share done (0..1) and what is being done, about once a batch.
            lung_mask: (K, J, I) on the CT's grid, instead of the built-in segmentation.

        Raises:
            ValueError: the CT shows no lungs, or the mask does not fit it.
            AnalysisCancelled: as raised by ``progress``.
        """
        return run_to_end(self.steps(ct, lung_mask), progress)

    def steps(self, ct: CtVolume, lung_mask: np.ndarray | None = None) -> Steps:
        """The analysis as a generator of (fraction, message) that returns the ``Analysis``."""
        return _Run(self, ct).steps(lung_mask)


class _Run:
    """The analysis of one CT."""

    def __init__(self, analyzer: LesionAnalyzer, ct: CtVolume) -> None:
        self.bundle, self.config, self.threshold = analyzer.bundle, analyzer.config, analyzer.threshold
        self.preprocessing, self.clusters, self.pipeline = analyzer.preprocessing, analyzer.clusters, analyzer.pipeline
        self.ct, self.view = ct, ct.axial()
        self.pipeline.timing = self.timing = dict.fromkeys(("lungs", "slices", "network", "maps", "linking"), 0.0)
        self.log_odds: dict[int, float] = {}  # by slice
        self.other_class: dict[int, int] = {}  # by slice: the likeliest class but the positive one
        self.channel_means: list[np.ndarray] = []

    def steps(self, lung_mask: np.ndarray | None) -> Steps:
        began = time.perf_counter()
        yield 0.0, "Segmenting the lungs"
        with self.pipeline.timed("lungs"):
            self.lungs = self._lungs(lung_mask)
        self.findings = Findings(self.ct, self.lungs, self.clusters, self.config.inside_lungs)
        total = len(self.lungs)
        yield _LUNGS_DONE, f"Lungs segmented; analyzing {total} slices"
        for index in self._slices():
            share = (index + 1) / total
            yield _LUNGS_DONE + (_SLICES_DONE - _LUNGS_DONE) * share, f"Slice {index + 1} of {total}"
        yield _SLICES_DONE, "Linking lesions"
        with self.pipeline.timed("linking"):
            lesions, names = self.findings.link(sorted(self.log_odds), self.config.min_lesion_ml)
        analysis = self._analysis(lesions, names)
        analysis.timing_s["total"] = time.perf_counter() - began
        yield 1.0, "Analyzed"
        return analysis

    def _lungs(self, given: np.ndarray | None) -> np.ndarray:
        if given is None:
            return segment_lungs(self.ct)
        if given.shape != self.ct.array.shape:
            raise ValueError(f"The lung mask has the shape {given.shape}, the CT {self.ct.array.shape}: provide it "
                             "on the CT's own grid.")  # fmt: skip
        if not given.any():
            raise ValueError("The lung mask is empty: provide one that marks the lungs, or none.")
        return self.view.from_volume(np.asarray(given) > 0)

    def _slices(self) -> Iterator[int]:
        """Analyze the slices batch by batch while the next batch is cut; yields the last index of each."""
        slices = lung_slices(self.ct, self.lungs, self.preprocessing)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._cut, slices)
            while portion := ahead.result():
                ahead = pool.submit(self._cut, slices)
                for batch in self.pipeline.run(portion, self.threshold):
                    self._collect(batch)
                    yield batch.slices[-1].index

    def _cut(self, slices: Iterator[LungSlice]) -> list[LungSlice]:
        with self.pipeline.timed("slices"):
            return list(islice(slices, self.pipeline.runner.batch_size))

    def _collect(self, batch: SliceBatch) -> None:
        self.channel_means.extend(batch.channel_means)
        others = batch.logits.copy()
        others[:, self.bundle.positive] = -np.inf
        for piece, odds, other in zip(batch.slices, batch.log_odds, others.argmax(1), strict=True):
            self.log_odds[piece.index], self.other_class[piece.index] = float(odds), int(other)
        with self.pipeline.timed("maps"):
            for row, lesions in batch.lesions.items():
                piece = batch.slices[row]
                self.findings.add(piece.index, piece.crop, lesions.regions, lesions.features,
                                  float(expit(batch.log_odds[row])))  # fmt: skip

    def _analysis(self, lesions: tuple, names: dict[int, str]) -> Analysis:
        bundle, view = self.bundle, self.view
        slices = tuple(self._slice(i) for i in range(len(self.lungs)))
        return Analysis(
            name=self.ct.name,
            input={
                "path": self.ct.source, "kind": "volume" if self.ct.calibrated else "images",
                "size": list(self.ct.array.shape[::-1]), "spacing_mm": list(self.ct.spacing_mm),
                "calibrated": self.ct.calibrated,
            },
            model={
                "id": bundle.id, "checksum": bundle.checksum, "title": bundle.title, "license": bundle.license,
                "classes": list(bundle.classes), "positive": bundle.classes[bundle.positive], "card": bundle.card,
            },
            config={
                **self.config.to_dict(), "preprocessing": self.preprocessing.to_dict(), "threshold": self.threshold,
            },
            device=self.pipeline.runner.description,
            timing_s=self.timing,
            summary=self._summary(slices, lesions, names),
            slices=slices, lesions=lesions, cluster_names=names, warnings=self._warnings(slices),
            ct=self.ct, lam=view.to_volume(self.findings.lam),
            lesion_labels=view.to_volume(self.findings.labels), lung_mask=view.to_volume(self.lungs),
        )  # fmt: skip

    def _slice(self, index: int) -> SliceDiagnosis:
        position = self.view.position_mm(index) if self.ct.calibrated else None
        if index not in self.log_odds:
            return SliceDiagnosis(index, position, False, None, "", False)
        probability = float(expit(self.log_odds[index]))
        return SliceDiagnosis(
            index, position, True, probability, self._class_name(probability, self.other_class[index]),
            probability >= self.threshold, self.findings.slice_lesions(index),
        )  # fmt: skip

    def _class_name(self, probability: float, other: int) -> str:
        """The positive class from the threshold on, below it the likeliest of the others."""
        return self.bundle.classes[self.bundle.positive if probability >= self.threshold else other]

    def _summary(self, slices: tuple, lesions: tuple, names: dict[int, str]) -> StudySummary:
        study = self.bundle.study if self.config.calibrated else {}
        probability = study_probability(list(self.log_odds.values()), study)
        diagnosis = ""
        if probability is not None:
            ((other, _),) = Counter(self.other_class.values()).most_common(1)
            diagnosis = self._class_name(probability, other)
        return StudySummary(
            probability=probability, diagnosis=diagnosis,
            positive=probability is not None and probability >= self.threshold,
            positive_slices=sum(s.positive for s in slices), lung_slices=sum(s.lung for s in slices),
            total_slices=len(slices), lesion_count=len(lesions),
            lesions_by_cluster={name: sum(x.cluster == k for x in lesions) for k, name in names.items()},
            involved_lung_share=self.findings.involved_share(),
        )  # fmt: skip

    def _warnings(self, slices: tuple) -> tuple[str, ...]:
        runner = self.pipeline.runner
        warnings = [*self.ct.warnings, *dict.fromkeys(runner.warnings)]
        runner.warnings.clear()
        if not self.ct.calibrated and UNCALIBRATED not in warnings:
            warnings.append(UNCALIBRATED)
        if not any(s.lung for s in slices):
            warnings.append("No slice shows enough lung to analyze.")
        elif is_out_of_distribution(self.channel_means, self.bundle.input_statistics):
            warnings.append("Probabilities are unreliable: this input is out of distribution, unlike the images that "
                            "the model was trained on.")  # fmt: skip
        return tuple(warnings)
