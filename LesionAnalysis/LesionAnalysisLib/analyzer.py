"""The one pipeline: CtVolume -> lungs -> FeCNN -> Grad++ -> lesions -> Analysis.

    analyzer = LesionAnalyzer(ModelBundle.bundled(), AnalysisConfig())
    analysis = analyzer.analyze(read_ct("ct.nii.gz"), progress=lambda fraction, message: None)

It advances in small steps, so that a window can draw the steps from a timer while a script loops over them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch

from .config import AnalysisConfig
from .lesions.density import density_profiles
from .lesions.findings import Findings
from .lesions.refinement import cell_size, known_gray_levels
from .lesions.regions import Regions, peak_features
from .lungs import LungSlice, Preprocessing, lung_slices, segment_lungs
from .model.bundle import ModelBundle
from .model.out_of_distribution import channel_means, unlike_training
from .network.devices import Runner, choose_device
from .network.saliency import log_odds
from .pipeline import slice_heat, slice_regions
from .results import Analysis, SliceDiagnosis, StudySummary
from .steps import run_to_end
from .study import sigmoid, study_probability
from .volume import CtVolume

Progress = Callable[[float, str], None]
Steps = Generator[tuple[float, str], None, Analysis]
_LUNGS_DONE, _SLICES_DONE = 0.15, 0.97  # shares of the time, for the progress


class AnalysisCancelled(Exception):  # noqa: N818 - a request, not an error
    """Raise it from ``progress`` to stop an analysis; nothing is left behind."""


class LesionAnalyzer:
    """Loads a model once and analyzes any number of CTs with it.

    Raises:
        ValueError: the device is not available, or the model does not fit this program.
    """

    def __init__(self, bundle: ModelBundle, config: AnalysisConfig | None = None) -> None:
        self.bundle = bundle
        self.config = config or AnalysisConfig()
        self.preprocessing = self.config.preprocessing or Preprocessing.from_dict(bundle.preprocessing)
        self.runner = Runner(
            bundle.network(), choose_device(self.config.device), self.config.precision, self.config.batch_size
        )
        self.temperature = bundle.temperature if self.config.calibrated else 1.0
        self.threshold = bundle.threshold if self.config.threshold is None else self.config.threshold
        self.cluster_by = "features" if bundle.density_clusters is None else self.config.cluster_by
        self.clusters = bundle.density_clusters if self.cluster_by == "density" else bundle.clusters

    def lesion_features(self, piece: LungSlice, regions: Regions, activations: torch.Tensor) -> np.ndarray:
        """(n, F) float32 of one slice's lesions, by which ``clusters`` tells them apart.

        Args:
            piece: the slice as the network saw it.
            activations: its C5 (K, h, w).
        """
        if self.cluster_by == "density":
            return density_profiles(piece.image, regions, piece.scale)
        return peak_features(activations, regions).float().cpu().numpy()

    def analyze(
        self, ct: CtVolume, progress: Progress | None = None, lung_mask: np.ndarray | None = None
    ) -> Analysis:
        """Run the whole pipeline.

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
        """The pipeline as a generator of (fraction, message) that returns the ``Analysis``."""
        return _Run(self, ct).steps(lung_mask)


class _Run:
    """One CT on its way through the pipeline."""

    def __init__(self, analyzer: LesionAnalyzer, ct: CtVolume) -> None:
        self.analyzer = analyzer
        self.bundle, self.config, self.runner = analyzer.bundle, analyzer.config, analyzer.runner
        self.preprocessing, self.temperature = analyzer.preprocessing, analyzer.temperature
        self.threshold = analyzer.threshold
        self.ct, self.view = ct, ct.axial()
        self.timing = {"lungs": 0.0, "slices": 0.0, "network": 0.0, "maps": 0.0, "linking": 0.0}
        self.log_odds: dict[int, float] = {}
        self.class_of: dict[int, int] = {}
        self.means: list[np.ndarray] = []  # of channels, by slice

    def steps(self, lung_mask: np.ndarray | None) -> Steps:
        began = time.perf_counter()
        yield 0.0, "Finding the lungs"
        with _Timed(self.timing, "lungs"):
            self.lungs = self._lungs(lung_mask)
        self.findings = Findings(self.ct, self.lungs, self.analyzer.clusters, self.config.inside_lungs)
        total = self.lungs.shape[0]
        yield _LUNGS_DONE, f"Lungs found; looking at {total} slices"
        for index in self._network():
            share = (index + 1) / total
            yield _LUNGS_DONE + (_SLICES_DONE - _LUNGS_DONE) * share, f"Slice {index + 1} of {total}"
        yield _SLICES_DONE, "Linking lesions"
        with _Timed(self.timing, "linking"):
            kept = sorted(self.log_odds)
            lesions, names = self.findings.link(kept, self.config.min_lesion_ml)
        analysis = self._analysis(lesions, names)
        analysis.timing_s["total"] = time.perf_counter() - began
        yield 1.0, "Done"
        return analysis

    def _lungs(self, given: np.ndarray | None) -> np.ndarray:
        if given is None:
            return segment_lungs(self.ct)
        if given.shape != self.ct.array.shape:
            raise ValueError(f"The lung mask has the shape {given.shape}, the CT {self.ct.array.shape}: give it "
                             "on the CT's own grid.")  # fmt: skip
        if not given.any():
            raise ValueError("The lung mask is empty: give one that marks the lungs, or none.")
        return self.view.from_volume(np.asarray(given) > 0)

    def _network(self) -> Generator[int, None, None]:
        """Diagnose and map the kept slices batch by batch, the next batch being cut meanwhile; yields indices."""
        slices = lung_slices(self.ct, self.lungs, self.preprocessing)
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self._cut, slices)
            while portion := ahead.result():
                ahead = pool.submit(self._cut, slices)
                for part, work in self.runner.batches(portion, self._diagnose):
                    self._map(part, *work)
                    yield part[-1].index

    def _cut(self, slices) -> list[LungSlice]:
        with _Timed(self.timing, "slices"):
            return list(islice(slices, self.runner.batch_size))

    def _diagnose(self, network, device: torch.device, portion: Sequence[LungSlice]) -> tuple:
        """FeCNN on a batch: log-odds, classes, and the heat and activations of its positive slices."""
        with _Timed(self.timing, "network"), torch.inference_mode():
            pictures = torch.from_numpy(np.stack([s.image for s in portion]))[:, None]
            maps = network.backbone(pictures.to(device).float() / 255.0)
            logits = network.head(*maps) / self.temperature
            positive = self.bundle.positive
            odds = log_odds(logits, positive).cpu().numpy()
            if not np.isfinite(odds).all():  # not a number is never above a threshold: all would seem healthy
                raise ValueError("The model gives no number for a slice: choose another model folder.")
            classes = logits.argmax(1).cpu().numpy()
            means = channel_means(maps, self.bundle.input_statistics)
        shown = np.flatnonzero(sigmoid(odds) >= self.threshold)
        with _Timed(self.timing, "maps"):
            if not len(shown):
                return odds, classes, means, shown, [], []
            rows = torch.from_numpy(shown).to(device)
            chosen = [m[rows] for m in maps]
            heat = slice_heat(network, chosen, positive, self.config)
            return odds, classes, means, shown, heat.cpu().numpy(), chosen[2]

    def _map(self, portion, odds, classes, means, shown, heat, activations) -> None:
        """Take over a batch's results; regions, features and places of the positive slices."""
        self.means.extend(means)
        for item, value, name in zip(portion, odds, classes, strict=True):
            self.log_odds[item.index], self.class_of[item.index] = float(value), int(name)
        with _Timed(self.timing, "maps"):
            for i, row in enumerate(shown):
                self._place(portion[row], heat[i], activations[i], float(sigmoid(odds[row])))

    def _place(self, item: LungSlice, heat: np.ndarray, activations: torch.Tensor, probability: float) -> None:
        cell = cell_size(self.ct, item.index)
        gray_levels = known_gray_levels(self.preprocessing, self.ct.calibrated)
        regions = slice_regions(heat, item, self.lungs[item.index], cell, self.config, gray_levels)
        features = self.analyzer.lesion_features(item, regions, activations)
        self.findings.add(item.index, item.crop, regions, features, probability)

    # -- the result -------------------------------------------------------------------------------

    def _analysis(self, lesions: tuple, names: dict[int, str]) -> Analysis:
        bundle, view = self.bundle, self.view
        slices = tuple(self._slice(i) for i in range(self.lungs.shape[0]))
        return Analysis(
            name=self.ct.name,
            input={
                "path": self.ct.source, "kind": "volume" if self.ct.calibrated else "pictures",
                "size": list(self.ct.array.shape[::-1]), "spacing_mm": list(self.ct.spacing_mm),
                "calibrated": self.ct.calibrated,
            },
            model={
                "id": bundle.id, "checksum": bundle.checksum, "title": bundle.title, "license": bundle.license,
                "classes": list(bundle.classes), "positive": bundle.classes[bundle.positive], "card": bundle.card,
            },
            config={
                **self.config.to_dict(), "preprocessing": self.preprocessing.to_dict(), "threshold": self.threshold,
                "cluster_by": self.analyzer.cluster_by,
            },
            device=self.runner.description,
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
        probability = float(sigmoid(self.log_odds[index]))
        return SliceDiagnosis(
            index, position, True, probability, self._class_name(probability, self.class_of[index]),
            probability >= self.threshold, self.findings.slice_lesions(index),
        )  # fmt: skip

    def _class_name(self, probability: float, likeliest: int) -> str:
        """Name of the class; of two, the threshold decides rather than one half."""
        names, positive = self.bundle.classes, self.bundle.positive
        if probability >= self.threshold:
            return names[positive]
        others = [i for i in range(len(names)) if i != positive]
        return names[likeliest if likeliest in others else others[0]]

    def _summary(self, slices: tuple, lesions: tuple, names: dict[int, str]) -> StudySummary:
        odds = [self.log_odds[i] for i in sorted(self.log_odds)]
        probability = study_probability(odds, self.bundle.study if self.config.calibrated else {})
        likeliest = max(set(self.class_of.values()), key=list(self.class_of.values()).count, default=0)
        counts = {name: sum(x.cluster == k for x in lesions) for k, name in names.items()}
        return StudySummary(
            probability=probability,
            diagnosis="" if probability is None else self._class_name(probability, likeliest),
            positive=probability is not None and probability >= self.threshold,
            positive_slices=sum(s.positive for s in slices), lung_slices=sum(s.lung for s in slices),
            total_slices=len(slices), lesion_count=len(lesions), lesions_by_cluster=counts,
            involved_lung_share=self.findings.involved_share(),
        )  # fmt: skip

    def _warnings(self, slices: tuple) -> tuple[str, ...]:
        warnings = [*self.ct.warnings, *dict.fromkeys(self.runner.warnings)]
        self.runner.warnings.clear()
        if not self.ct.calibrated:
            warnings.append("Pictures have no Hounsfield units and no millimeters: lesions are counted in pixels, "
                            "and are not named by their density.")  # fmt: skip
        if not any(s.lung for s in slices):
            warnings.append("No slice shows enough lung to be judged.")
        elif unlike_training(self.means, self.bundle.input_statistics):
            warnings.append("Probabilities are unreliable: this input is unlike the training data.")
        return tuple(warnings)


class _Timed:
    """Adds the seconds of its block to ``timing[stage]``."""

    def __init__(self, timing: dict[str, float], stage: str) -> None:
        self.timing, self.stage = timing, stage

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.timing[self.stage] += time.perf_counter() - self.began
