"""The bundled model finds the same lesions at the same positions, however the scan of a patient is stored."""

import copy
import dataclasses

import numpy as np
import pytest
from helpers_phantom import ORIENTATIONS, oriented_phantom
from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, ModelBundle, make_phantom

SHAPE, SPACING = (7, 224, 224), (1.6, 1.6, 26.0)
STORED = [name for name in ORIENTATIONS if not name.startswith(("oblique", "anisotropic"))]
RESAMPLED = ("oblique_double", "oblique_coronal", "anisotropic")  # other planes, so other images; tilts in each order


@pytest.fixture(scope="module")
def analyzer():
    # a low threshold, since this test is about positions, not about classification
    config = dataclasses.replace(AnalysisConfig(), threshold=0.1, device="cpu", precision="float32")
    return LesionAnalyzer(ModelBundle.bundled(), config)


@pytest.fixture(scope="module")
def canonical(analyzer):
    analysis = analyzer.analyze(make_phantom(SHAPE, SPACING).ct)
    assert analysis.lesions
    return analysis


@pytest.fixture(scope="module")
def remembering(analyzer):
    """Like ``analyzer``, but network and maps run only once for all slices of the same pixels, lungs and gray scale.

    It runs one slice at a time, ``analyzer`` several at once.
    """
    pipeline, batches = copy.copy(analyzer.pipeline), {}

    def run(slices, threshold):
        for piece in slices:
            lungs = piece.region.lungs_on_cells(piece.crop)
            key = (piece.image.tobytes(), lungs.shape, lungs.tobytes(), piece.scale, piece.region.calibrated, threshold)
            if key not in batches:
                (batches[key],) = analyzer.pipeline.run([piece], threshold)
            yield dataclasses.replace(batches[key], slices=[piece])

    pipeline.run = run
    remembering = copy.copy(analyzer)
    remembering.pipeline = pipeline
    return remembering


def cell_mm(analysis):
    """Size of a heatmap cell in mm (x, y, slice), for a crop as large as the lungs."""
    view = analysis.ct.axial()
    lungs = view.from_volume(analysis.lung_mask)
    rows, columns = np.flatnonzero(lungs.any((0, 2))), np.flatnonzero(lungs.any((0, 1)))
    cells = analysis.config["preprocessing"]["size"] / 32
    size = np.array([np.ptp(columns), np.ptp(rows)]) * view.spacing[:2]
    return np.array([*(size / cells), view.spacing[2]])


@pytest.mark.parametrize("name", [name for name in STORED if name != "axial"])
def test_the_storage_order_changes_nothing(remembering, canonical, name):
    analysis = remembering.analyze(oriented_phantom(SHAPE, SPACING, ORIENTATIONS[name]).ct)
    assert analysis.summary.lesion_count == canonical.summary.lesion_count
    for a, b in zip(canonical.lesions, analysis.lesions, strict=True):
        assert b.peak_ras_mm == pytest.approx(a.peak_ras_mm, abs=0.1)
        assert np.allclose(b.box_ras_mm, a.box_ras_mm, atol=0.1)
        assert b.volume_ml == pytest.approx(a.volume_ml, rel=1e-3)
    assert canonical.summary.probability == pytest.approx(analysis.summary.probability, abs=1e-3)


@pytest.mark.parametrize("name", RESAMPLED)
def test_lesions_of_high_activation_are_found_within_a_cell_in_other_planes(analyzer, canonical, name):
    analysis = analyzer.analyze(oriented_phantom(SHAPE, SPACING, ORIENTATIONS[name]).ct)
    boxes = np.array([lesion.box_ras_mm for lesion in analysis.lesions])
    strong = [x for x in canonical.lesions if x.activation >= 0.5]
    assert len(strong) >= 3
    cell = cell_mm(canonical)
    for lesion in strong:
        peak = np.array(lesion.peak_ras_mm)
        inside = (boxes[:, 0] - cell <= peak) & (peak <= boxes[:, 1] + cell)
        assert inside.all(1).any(), lesion.label
