"""Properties of every grid, split, score and analysis, tested on many of them."""

import dataclasses
import json
import math
import tempfile
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from helpers_report import make_analysis
from hostile_bundles import WIDTH, good_bundle, known_backbone
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.model.bundle import ModelBundle, ModelClusters
from LesionAnalysisLib.model.quantization import LEVELS, dequantize, quantize, quantize_weight
from LesionAnalysisLib.report.json_csv import from_json, to_json
from LesionAnalysisLib.results import Lesion, SliceDiagnosis, SliceLesion, StudySummary
from LesionAnalysisLib.study import study_probability
from LesionAnalysisLib.volume import AxialView
from LesionAnalysisLib.volume.files import matrix_of
from LesionAnalysisLib.volume.writing import write_volume
from LesionAnalysisTrainingLib.dataset.samples import TEST, TRAIN, VALIDATION, Sample
from LesionAnalysisTrainingLib.dataset.splits import split_at_random, split_by_patient
from LesionAnalysisTrainingLib.metrics import detection_metrics as dm
from LesionAnalysisTrainingLib.metrics.weighted_metrics import areas, auc
from scipy.special import expit

seeds = st.integers(0, 2**32 - 1)


# -- geometry --------------------------------------------------------------------------------------


@st.composite
def grids(draw, most_degrees=40.0):
    """Shape (K, J, I) and IJK-to-RAS matrix: any order of axes, flipped, rotated, slightly sheared, anywhere."""
    shape = tuple(draw(st.integers(2, 6)) for _ in range(3))
    order = draw(st.sampled_from(list(permutations(range(3)))))
    signs = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    spacing = [draw(st.floats(0.2, 12.0)) for _ in range(3)]
    a, b, c = (math.radians(draw(st.floats(-most_degrees, most_degrees))) / 3 for _ in range(3))
    turn = np.eye(3)
    for angle, (i, j) in zip((a, b, c), ((0, 1), (1, 2), (0, 2)), strict=True):
        one = np.eye(3)
        one[i, i] = one[j, j] = math.cos(angle)
        one[i, j], one[j, i] = -math.sin(angle), math.sin(angle)
        turn = turn @ one
    shear = np.eye(3)
    shear[0, 2] = draw(st.floats(-0.3, 0.3))
    matrix = np.eye(4)
    matrix[:3, :3] = shear @ turn @ np.eye(3)[:, order] * np.multiply(signs, spacing)
    matrix[:3, 3] = [draw(st.floats(-2000, 2000)) for _ in range(3)]
    return shape, matrix


@given(grids())
def test_the_axial_view_and_back_is_the_same_volume(grid):
    shape, matrix = grid
    volume = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    view = AxialView(volume, matrix)
    back = view.to_volume(view.array)
    assert np.array_equal(back, volume) and back.flags.c_contiguous
    assert np.shares_memory(view.array, volume)


@given(grids(), st.data())
def test_every_voxel_of_the_view_keeps_its_position(grid, data):
    shape, matrix = grid
    volume = np.arange(np.prod(shape)).reshape(shape)
    view = AxialView(volume, matrix)
    s, r, c = (data.draw(st.integers(0, n - 1)) for n in view.array.shape)
    k, j, i = np.unravel_index(view.array[s, r, c], shape)
    assert np.allclose(view.to_ras(c, r, s), (matrix @ (i, j, k, 1))[:3], atol=1e-6)
    assert np.allclose(np.linalg.inv(view.index_to_ras) @ (*view.to_ras(c, r, s), 1), (c, r, s, 1), atol=1e-6)
    assert math.isclose(view.position_mm(s), view.to_ras((view.array.shape[2] - 1) / 2, (view.array.shape[1] - 1) / 2,
                                                         s)[2])  # fmt: skip


@given(grids())
def test_slices_are_upright_with_the_patients_right_on_the_left(grid):
    shape, matrix = grid
    across, down, along = AxialView(np.empty(shape), matrix).index_to_ras[:3, :3].T
    assert across[0] < 0 and down[1] < 0  # columns to the left, rows to the back
    assert sorted(abs(np.linalg.norm(v)) for v in (across, down, along)) == pytest.approx(
        sorted(np.linalg.norm(matrix[:3, :3], axis=0))
    )


@given(grids(), st.data())
def test_boxes_keep_their_corners_on_every_grid(grid, data):
    shape, matrix = grid
    view = AxialView(np.empty(shape), matrix)
    low = [data.draw(st.floats(-0.5, 5)) for _ in range(3)]
    high = [one + data.draw(st.floats(0, 5)) for one in low]
    ijk, ras = np.array(view.box_to_ijk((low, high))), np.array(view.box_to_ras((low, high)))
    assert np.prod(ijk[1] - ijk[0]) == pytest.approx(np.prod(np.subtract(high, low)), abs=1e-6)
    for corner in ([low[0], high[1], low[2]], [high[0], low[1], high[2]]):
        place = np.array(view.to_ras(*corner))
        assert (place >= ras[0] - 1e-6).all() and (place <= ras[1] + 1e-6).all()
        stored = (np.linalg.inv(matrix) @ (*place, 1))[:3]
        assert (stored >= ijk[0] - 1e-5).all() and (stored <= ijk[1] + 1e-5).all()


@settings(max_examples=15)
@given(grids(), seeds)
def test_the_map_is_written_on_the_cts_own_grid(grid, seed):
    """Converted to LPS, written and read: lam.nrrd has the CT's matrix and the map's values."""
    shape, matrix = grid
    view = AxialView(np.empty(shape), matrix)
    lam = np.random.default_rng(seed).integers(0, 101, view.array.shape).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        write_volume(view.to_volume(lam), matrix, Path(folder) / "lam.nrrd")
        image = sitk.ReadImage(str(Path(folder) / "lam.nrrd"))
    assert np.allclose(matrix_of(image), matrix, rtol=1e-5, atol=1e-4)
    assert np.array_equal(view.from_volume(sitk.GetArrayViewFromImage(image)), lam)


# -- splits ----------------------------------------------------------------------------------------


@st.composite
def cohorts(draw):
    """Slices of many small patients of two or three classes and one or two sources."""
    rng = np.random.default_rng(draw(seeds))
    classes, sources = draw(st.integers(2, 3)), draw(st.integers(1, 2))
    samples = []
    for patient in range(draw(st.integers(8, 60)) * classes):
        label, source = patient % classes, f"s{patient // classes % sources}"
        for i in range(rng.integers(1, 6)):
            samples.append(Sample(f"{patient}-{i}.png", label, f"{source}/p{patient}", source))
    return samples


shares = st.tuples(st.sampled_from([0.1, 0.15, 0.25, 0.3]), st.sampled_from([0.0, 0.1, 0.2]))


@given(cohorts(), shares, seeds)
def test_no_patient_is_in_two_splits(samples, share, seed):
    done = split_by_patient(samples, *share, seed)
    sides = {}
    for one in done:
        assert sides.setdefault(one.patient, one.split) == one.split
    for label in {one.label for one in samples}:
        assert {TRAIN, VALIDATION} <= {one.split for one in done if one.label == label}
    assert [dataclasses.replace(one, split=None) for one in done] == samples


@given(cohorts(), shares, seeds)
def test_fractions_are_close_to_those_requested(samples, share, seed):
    """Within one patient of at most five slices for each source and class, which are split separately."""
    done = split_by_patient(samples, *share, seed)
    strata = {(one.source, one.label) for one in samples}
    for side, asked in zip((VALIDATION, TEST), share, strict=True):
        got = sum(one.split == side for one in done)
        assert abs(got - asked * len(done)) <= 5 * len(strata) + 5


@given(cohorts(), shares, seeds, st.randoms(use_true_random=False))
def test_the_same_seed_gives_the_same_split_in_any_order_of_files(samples, share, seed, random):
    first = {one.path: one.split for one in split_by_patient(samples, *share, seed)}
    mixed = samples[:]
    random.shuffle(mixed)
    assert {one.path: one.split for one in split_by_patient(mixed, *share, seed)} == first


@given(cohorts(), shares, seeds)
def test_given_splits_are_kept(samples, share, seed):
    done = split_by_patient(samples, *share, seed)
    assert split_by_patient(done, 0.5, 0.3, seed + 1) == done


@given(cohorts(), shares, seeds)
def test_the_papers_split_has_exact_fractions_of_every_class(samples, share, seed):
    done = split_at_random(samples, *share, seed)
    for label in {one.label for one in samples}:
        sides = [one.split for one in done if one.label == label]
        assert sides.count(VALIDATION) == max(1, round(share[0] * len(sides)))
        assert abs(sides.count(TEST) - share[1] * len(sides)) <= 1


# -- scores ----------------------------------------------------------------------------------------


@st.composite
def clusters_and_features(draw):
    rng = np.random.default_rng(draw(seeds))
    k, width, scale = draw(st.integers(1, 6)), draw(st.integers(1, 40)), draw(st.sampled_from([1e-6, 1.0, 1e3, 1e8]))
    centers = rng.normal(0, scale, (k, width))
    arrays = {"centers": centers, "counts": np.ones(k, int), "inertia": 1.0, "n_init": 1, "random_state": 0}
    return LesionClusters.from_arrays(arrays), rng.normal(0, scale, (draw(st.integers(1, 8)), width))


@given(clusters_and_features())
def test_scores_sum_to_one_and_the_nearest_cluster_has_the_highest(made):
    clusters, features = made
    scores, distances = clusters.predict_proba(features), clusters.transform(features)
    assert np.allclose(scores.sum(1), 1) and (scores >= 0).all() and (scores <= 1).all()
    nearest = clusters.predict(features)
    rows = np.arange(len(features))
    assert (scores[rows, nearest] == scores.max(1)).all() and (distances[rows, nearest] == distances.min(1)).all()
    assert (clusters.paper_score(features) <= scores[rows, nearest]).all()
    margin = clusters.margin(features)
    assert (margin >= 0).all() and (margin <= 1).all()


@given(clusters_and_features(), st.integers(2, 4))
def test_equidistant_clusters_have_equal_scores_and_the_first_is_chosen(made, times):
    clusters, features = made
    arrays = clusters.to_arrays()
    again = LesionClusters.from_arrays({**arrays, "centers": np.repeat(arrays["centers"][:1], times, 0),
                                        "counts": np.ones(times, int)})  # fmt: skip
    assert np.allclose(again.predict_proba(features), 1 / times)
    assert (again.predict(features) == 0).all() and np.allclose(again.margin(features), 0)


odds = st.floats(-200, 200)
calibrations = st.fixed_dictionaries(
    {}, optional={"scale": st.floats(0.01, 10), "offset": st.floats(-10, 10), "chance": st.floats(0, 10)}
)


@st.composite
def studies(draw):
    """Log-odds of 1 to 600 slices."""
    rng = np.random.default_rng(draw(seeds))
    return rng.normal(draw(st.floats(-20, 20)), draw(st.floats(0, 20)), draw(st.integers(1, 600)))


@given(studies(), calibrations, seeds)
def test_the_study_has_a_probability_that_is_independent_of_the_order_of_slices(log_odds, calibration, seed):
    probability = study_probability(log_odds, calibration)
    assert 0 <= probability <= 1
    assert study_probability(np.random.default_rng(seed).permutation(log_odds), calibration) == probability
    assert study_probability(list(map(float, log_odds)), calibration) == probability


@given(studies(), calibrations, seeds, st.floats(0, 50))
def test_higher_log_odds_of_slices_never_lower_the_study(log_odds, calibration, seed, more):
    higher = log_odds.copy()
    higher[np.random.default_rng(seed).random(len(higher)) < 0.3] += more
    assert study_probability(higher, calibration) >= study_probability(log_odds, calibration) - 1e-12


@given(odds)
def test_the_study_of_a_single_slice_has_its_probability(value):
    assert study_probability([value], {"chance": 3.0}) == float(expit(value))
    assert study_probability([], {}) is None


# -- serialization ---------------------------------------------------------------------------------

activations = st.integers(0, 10**4).map(lambda n: n / 10**4) | st.just(math.nan)  # the label shows two digits
numbers = st.floats() | st.integers(-1000, 1000).map(float)
_LETTERS = "aB0 ._-é患😀\u202e\"'<&=;%\\{$|"
texts = st.text(_LETTERS + "\n\t\r\x00\x1b", max_size=8)
points = st.tuples(numbers, numbers, numbers)
boxes = st.tuples(points, points)
plains = st.recursive(st.none() | st.booleans() | numbers | texts | st.integers(-(2**53), 2**53),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
                      max_leaves=6)  # fmt: skip


_ANALYSIS = dataclasses.replace(make_analysis(healthy=True), ct=None, lam=None, lesion_labels=None, lung_mask=None)


@st.composite
def analyses(draw):
    """Any analysis: linked and unlinked slice lesions, missing numbers, NaN, texts of all alphabets."""
    small = st.integers(0, 5)
    parts = draw(st.lists(st.builds(
        SliceLesion, slice_index=small, number=small, cluster=small, score=numbers, margin=numbers,
        paper_score=numbers, activation=numbers, peak_ras_mm=points, box_ras_mm=boxes, area_mm2=numbers,
        mean_hu=st.none() | numbers,
    ), max_size=5, unique_by=lambda part: (part.slice_index, part.number)))  # fmt: skip
    linked = tuple(parts[: draw(st.integers(0, len(parts)))])
    lesions = tuple(draw(st.lists(st.builds(
        Lesion, id=small, cluster=small, cluster_name=texts, type=st.none() | texts, score=numbers,
        activation=activations, peak_ras_mm=points, box_ras_mm=boxes, box_ijk=boxes, first_slice=small,
        last_slice=small, mean_hu=st.none() | numbers, volume_ml=st.none() | numbers, slice_lesions=st.just(linked),
    ), max_size=1)))  # fmt: skip
    slices = tuple(draw(st.builds(
        SliceDiagnosis, index=st.just(i), position_mm=st.none() | numbers, lung=st.booleans(),
        probability=st.none() | numbers, diagnosis=texts, positive=st.booleans(),
        lesions=st.just(tuple(part for part in parts if part.slice_index == i)),
    )) for i in range(3))  # fmt: skip
    summary = draw(st.builds(
        StudySummary, probability=st.none() | numbers, diagnosis=texts, positive=st.booleans(), positive_slices=small,
        lung_slices=small, total_slices=small, lesion_count=small,
        lesions_by_cluster=st.dictionaries(texts, small, max_size=3), involved_lung_share=st.none() | numbers,
    ))  # fmt: skip
    tables = st.dictionaries(texts.filter(lambda key: key != "card"), plains, max_size=3)
    return dataclasses.replace(
        _ANALYSIS, name=draw(texts), input=draw(tables), model=draw(tables), config=draw(tables),
        device=draw(texts), timing_s=draw(st.dictionaries(texts, numbers, max_size=2)), summary=summary,
        slices=slices, lesions=lesions, cluster_names=draw(st.dictionaries(small, texts, max_size=3)),
        warnings=tuple(draw(st.lists(texts, max_size=2))),
    )  # fmt: skip


def same(first, second):
    """Equal to seven digits; NaN and infinity, which JSON lacks, both become NaN, or None if the field is optional."""
    if dataclasses.is_dataclass(first):
        names = [field.name for field in dataclasses.fields(first)]
        return all(same(getattr(first, name), getattr(second, name)) for name in names)
    if isinstance(first, float) and not math.isfinite(first):
        return second is None or second != second
    if isinstance(first, float):
        return math.isclose(first, second, rel_tol=1e-6, abs_tol=0)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    return first == second


@given(analyses())
def test_an_analysis_is_restored_from_its_text(analysis):
    data = to_json(analysis)
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    again = from_json(json.loads(text.encode("utf-8").decode("utf-8")))
    assert to_json(again) == data
    assert same(analysis.summary, again.summary) and same(analysis.lesions, again.lesions)
    for name in ("name", "input", "model", "config", "device", "timing_s", "cluster_names", "warnings"):
        assert same(getattr(analysis, name), getattr(again, name)), name
    known = {(p.slice_index, p.number) for lesion in analysis.lesions for p in lesion.slice_lesions}
    for one, other in zip(analysis.slices, again.slices, strict=True):
        assert same(dataclasses.replace(one, lesions=()), dataclasses.replace(other, lesions=()))
        for part, back in zip(one.lesions, other.lesions, strict=True):
            if (part.slice_index, part.number) in known:
                assert same(part, back)
            else:  # only this is stored of a slice lesion that belongs to no 3D lesion
                assert (part.number, part.cluster) == (back.number, back.cluster) and same(part.score, back.score)


@given(analyses(), st.data())
def test_a_damaged_text_is_refused_in_one_sentence(analysis, data):
    """If any single value of the text is replaced, it is read, or refused with a ValueError."""
    record = json.loads(json.dumps(to_json(analysis)))
    place, key = record, data.draw(st.sampled_from(sorted(record)))
    while isinstance(place[key], (dict, list)) and len(place[key]) and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
    place[key] = data.draw(plains)
    try:
        to_json(from_json(record))
    except ValueError as error:
        assert str(error).strip() and "\n" not in str(error)


titles = st.text(_LETTERS, min_size=1, max_size=20)


@settings(max_examples=2)
@given(titles, titles, st.lists(titles, min_size=2, max_size=2, unique=True), st.floats(1e-3, 1e3),
       st.floats(0, 1, exclude_min=True, exclude_max=True), calibrations, texts, st.integers(1, 4),
       st.dictionaries(texts, plains.filter(lambda v: "nan" not in repr(v) and "inf" not in repr(v)), max_size=2))
def test_a_model_is_restored_from_its_folder(title, license, classes, temperature, threshold, study, card, count,
                                            training):  # fmt: skip
    features = np.random.default_rng(count).normal(0, 1, (12, WIDTH))
    clusters = LesionClusters(count).fit(features)
    density = LesionClusters(5 - count).fit(features[:, :5])
    card = card.replace("\r", "\n")
    with known_backbone(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        good_bundle(path, title=title, license=license, classes=tuple(classes), temperature=temperature,
                    threshold=threshold, study=study, card=card, clusters=ModelClusters(clusters, density),
                    training=training)  # fmt: skip
        bundle = ModelBundle.load(path)
        first, again = bundle.network().state_dict(), ModelBundle.load(path).network().state_dict()
    assert (bundle.title, bundle.license, bundle.classes, bundle.card) == (title, license, tuple(classes), card)
    assert (bundle.temperature, bundle.threshold, bundle.study) == (temperature, threshold, study)
    assert bundle.training == training
    assert np.array_equal(bundle.clusters.features.cluster_centers_, clusters.cluster_centers_)
    assert np.array_equal(bundle.clusters.features.predict(features), clusters.predict(features))
    assert np.array_equal(bundle.clusters.density.cluster_centers_, density.cluster_centers_)
    assert all(torch.equal(first[name], again[name]) for name in first)


@st.composite
def weights(draw):
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([(4, 30), (3, 8, 3, 3), (2, 16, 1, 1), (5, 4, 7, 7), (1, 200)]))
    weight = rng.normal(draw(st.floats(-0.5, 0.5)), 1, shape) * draw(st.sampled_from([1e-6, 0.05, 1.0, 1e4]))
    if draw(st.booleans()):
        weight.flat[rng.integers(weight.size)] *= draw(st.sampled_from([0.0, 3.0, 50.0]))
    if draw(st.booleans()):
        weight[0] = 0
    return weight.astype(np.float32)


@given(weights())
def test_quantized_weights_are_within_one_scale(weight):
    integers, scales = quantize_weight(weight)
    assert integers.dtype == np.int8 and integers.shape == weight.shape and scales.shape == weight.shape[:1]
    assert (np.abs(integers.astype(int)) <= LEVELS).all() and (scales > 0).all()
    rows, scale = weight.reshape(len(weight), -1), scales[:, None]
    error = np.abs(integers.reshape(rows.shape) * scale - rows)
    clipped = np.abs(rows) > LEVELS * scale
    assert (error[~clipped] <= (1.001 * scale + 1e-30).repeat(rows.shape[1], 1)[~clipped]).all()
    assert (np.abs(rows) <= LEVELS * scale / 0.7 * 1.001).all()  # no scale clips more than three tenths
    free = ~clipped.any(1)
    total = np.abs((integers.reshape(rows.shape) * scale.astype(np.float64) - rows).sum(1))
    assert (total[free] <= 0.501 * scales[free] + 1e-4 * np.abs(rows[free]).sum(1)).all()


@settings(max_examples=10)
@given(seeds)
def test_stored_weights_are_restored_closely(seed):
    rng = np.random.default_rng(seed)
    arrays = {"large": rng.normal(0, 0.05, (32, 700, 3, 3)).astype(np.float32), "count": np.array(3),
              "middle": rng.normal(0, 1, (200, 100)).astype(np.float32), "small": np.float32(rng.normal(0, 1, 9))}
    stored = quantize(arrays)
    back = dequantize(stored)
    assert set(back) == set(arrays)
    assert np.array_equal(back["small"], arrays["small"]) and back["count"] == 3
    assert np.allclose(back["middle"], arrays["middle"], rtol=1e-3, atol=1e-6)
    assert np.abs(back["large"] - arrays["large"]).max() <= 0.31 * np.abs(arrays["large"]).max()
    assert np.sqrt(np.mean((back["large"] - arrays["large"]) ** 2)) < 0.05 * arrays["large"].std()


# -- detection -------------------------------------------------------------------------------------


@st.composite
def slices_with_lesions(draw, size=64):
    rng = np.random.default_rng(draw(seeds))
    mask = np.zeros((size, size), bool)
    for _ in range(draw(st.integers(0, 4))):
        r, c = rng.integers(0, size - 17, 2)
        mask[r : r + rng.integers(4, 17), c : c + rng.integers(4, 17)] = True
    truth = dm.truth_lesions(mask, smallest=draw(st.sampled_from([1, 40])), gap=draw(st.sampled_from([0, 4, 8])))
    count = draw(st.integers(0, 5))
    low = rng.integers(0, size - 9, (count, 2))
    boxes = np.column_stack([low, low + rng.integers(1, 9, (count, 2))]).astype(float)
    peaks = (boxes[:, :2] + boxes[:, 2:]) / 2
    area = np.zeros_like(mask)
    for r0, c0, r1, c1 in boxes.astype(int):
        area[r0:r1, c0:c1] = True
    return truth, dm.Candidates(boxes, peaks, area), rng


@given(slices_with_lesions())
def test_detection_metrics_are_fractions(made):
    truth, found, rng = made
    figures = dm.summarize([dm.evaluate_slice(truth, found, lungs=rng.random(truth.mask.shape) < 0.5)])
    for name, value in figures.items():
        limit = math.inf if name in ("slices", "lesions", "boxes", "boxes a slice") else 1
        assert value != value or 0 <= value <= limit, name
    hits = [figures[f"hit iou {t}"] for t in dm.THRESHOLDS]
    assert all(a != a or a >= b for a, b in zip(hits, hits[1:], strict=False))  # a higher limit never detects more
    for t in dm.THRESHOLDS:
        over_box, over_both = figures[f"hit box {t}"], figures[f"hit iou {t}"]
        assert over_box != over_box or over_box >= over_both


@given(slices_with_lesions())
def test_the_order_of_boxes_does_not_matter(made):
    truth, found, rng = made
    order = rng.permutation(len(found.boxes))
    mixed = dm.Candidates(found.boxes[order], found.peaks[order], found.area)
    assert same(dm.evaluate_slice(truth, found), dm.evaluate_slice(truth, mixed))


def overlap(box, other, ratio):
    return dm.box_overlaps(box[None], other[None], ratio)[0, 0]


@given(slices_with_lesions(), slices_with_lesions())
def test_iou_is_symmetric_and_never_above_the_overlap_relative_to_the_box(one, other):
    for a in one[1].boxes:
        assert overlap(a, a, "iou") == overlap(a, a, "box") == 1
        for b in other[1].boxes:
            both = overlap(a, b, "iou")
            assert both == pytest.approx(overlap(b, a, "iou")) and 0 <= both <= 1
            assert both - 1e-12 <= overlap(a, b, "box") <= 1


@given(slices_with_lesions())
def test_the_oracle_map_detects_everything(made):
    truth = made[0]
    assume(len(truth.boxes))
    inside = [np.argwhere(truth.labels == n + 1)[0] + 0.5 for n in range(len(truth.boxes))]
    figures = dm.summarize([dm.evaluate_slice(truth, dm.Candidates(truth.boxes, np.array(inside), truth.mask))])
    assert figures["hit iou 0.9"] == figures["precision box 0.9"] == figures["pointing"] == 1
    assert figures["dice"] == figures["area hit"] == 1


@given(seeds, st.integers(2, 60))
def test_auc_is_symmetric_and_depends_on_the_order_only(seed, count):
    rng = np.random.default_rng(seed)
    truth, score = rng.random(count) < 0.5, np.round(rng.random(count), 1)  # with ties
    area = auc(truth, score)
    precision = areas(truth, score, np.ones((1, count)))["ap"][0]
    if not truth.any() or truth.all():
        assert area != area and np.isnan(precision)
        return
    assert 0 <= area <= 1 and auc(~truth, score) == pytest.approx(1 - area) == auc(truth, -score)
    assert auc(truth, np.exp(3 * score)) == pytest.approx(area)
    order = rng.permutation(count)
    assert auc(truth[order], score[order]) == pytest.approx(area)
    assert truth.mean() / 2 <= precision <= 1
