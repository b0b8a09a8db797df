"""Figures of a training draw their data at the right place, and never fail for lack of data."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from LesionAnalysisLib.colors import cluster_color
from LesionAnalysisLib.lesions.clusters import KChoice
from LesionAnalysisTrainingLib import plots
from LesionAnalysisTrainingLib.metrics import pr_curve, reliability, roc_curve
from LesionAnalysisTrainingLib.plots import canvas
from PIL import Image
from scipy import ndimage

pytest.importorskip("matplotlib")
ROOT = Path(__file__).resolve().parents[1]
SENTENCE_HEIGHT = 250  # pixels; only figures without data are lower


def pixels(path):
    """(H, W, 3) of a written image, checked for a sensible size."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        array = np.asarray(image.convert("RGB"), int)
    assert 150 < array.shape[0] < 2000 and 300 < array.shape[1] < 2000
    return array


def close(path, color, tolerance=24):
    """(H, W) where a pixel has nearly this color ``#rrggbb``."""
    return np.abs(pixels(path) - list(bytes.fromhex(color[1:]))).max(axis=2) <= tolerance


def is_sentence(path):
    array = pixels(path)
    return array.shape[0] < SENTENCE_HEIGHT and (array.min(axis=2) < 128).sum() > 200  # some letters


def epochs(count=12, **changes):
    rows = [{"epoch": i + 1, "size": 256 if i < count - 3 else 384, "loss": 0.7 / (i + 1), "val_loss": 0.5,
             "val_auc": 0.8, "rate": 1e-4, "omega": [1, 1.2, 1.4, 1.6, 1.8]} for i in range(count)]  # fmt: skip
    return [{k: v for k, v in {**row, **changes}.items() if v is not None} for row in rows]


def scores(quality, n=300, patients=60, seed=0):
    """Truth, probability and patients; ``quality`` is how far the classes' log-odds lie apart."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    return truth, 1 / (1 + np.exp(-rng.normal(quality * (truth - 0.5), 1))), rng.integers(0, patients, n)


def blobs(*counts, seed=0, width=40):
    """Features (n, F) of well separated clusters, and their labels (n,)."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 6, (len(counts), width))
    labels = np.repeat(np.arange(len(counts)), counts)
    return centers[labels] + rng.normal(0, 1, (len(labels), width)), labels


def choice(k, ks=8):
    """Inertias with a sharp bend at k."""
    numbers = np.arange(1, ks + 1)
    inertias = np.where(numbers < k, 1 - 0.8 * (numbers - 1) / (k - 1), 0.2 - 0.01 * (numbers - k)) * 500
    quality = np.where(numbers == 1, np.nan, 1 / numbers)
    return KChoice(k, numbers, inertias, quality, quality + 0.2)


# -- training ---------------------------------------------------------------------------------------


def test_learning_rates_are_plain_numbers(tmp_path):
    assert "mathdefault" not in plots.draw_training(tmp_path / "training.svg", epochs()).read_text(encoding="utf-8")


def test_training_shades_the_second_image_size_and_marks_the_chosen_epoch(tmp_path):
    path = plots.draw_training(tmp_path / "training.png", epochs(), chosen=3)
    shaded = np.flatnonzero(close(path, canvas.QUIET, 2).sum(axis=0) > 100)
    left = np.flatnonzero(close(path, canvas.BLUE).any(axis=0)).min()  # epoch 1; the axis ends at 12.5
    assert (shaded.min() - left) / (shaded.max() - left) == pytest.approx(8.5 / 11.5, abs=0.02)
    dark = close(path, canvas.INK, 62).sum(axis=0)
    early = dark[left + 10 : shaded.min()].argmax() + left + 10
    share = (early - left) / (shaded.max() - left)
    assert share == pytest.approx(2 / 11.5, abs=0.04)
    unmarked = plots.draw_training(tmp_path / "unmarked.png", epochs())
    assert close(unmarked, canvas.INK, 62).sum(axis=0)[left + 10 : shaded.min()].max() < dark[early] / 2


def test_training_draws_a_falling_loss_as_falling(tmp_path):
    path = plots.draw_training(tmp_path / "loss.png", epochs(val_loss=None, val_auc=None, rate=None, omega=None))
    parts = np.array_split(close(path, canvas.BLUE), 4, axis=1)
    tops = [np.nonzero(part)[0].min() for part in parts]
    assert tops[0] < tops[1] - 50 and tops[1] < tops[2] < tops[3]


def test_training_leaves_out_panels_without_values(tmp_path):
    full = plots.draw_training(tmp_path / "full.png", epochs())
    bare = plots.draw_training(tmp_path / "bare.png", epochs(val_loss=None, val_auc=None, rate=None, omega=None))
    assert pixels(full).shape[0] > 2 * pixels(bare).shape[0]
    for color in (canvas.RED, canvas.GREEN, canvas.ORANGE):
        assert close(full, color).sum() > 100 and close(bare, color).sum() == 0


def test_training_takes_histories_with_gaps(tmp_path):
    history = epochs(4)
    del history[1]["val_auc"], history[2]["omega"]
    history[0]["val_loss"] = None
    path = plots.draw_training(tmp_path / "gaps.png", history, chosen=4)
    assert close(path, canvas.GREEN).sum() > 50


# -- diagnosis --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quality", "upper_left"), [(6, True), (-6, False)])
def test_the_roc_of_a_good_network_runs_through_the_upper_left(tmp_path, quality, upper_left):
    path = plots.draw_roc(tmp_path / "roc.png", roc_curve(*scores(quality), rounds=20))
    blue = close(path, canvas.BLUE)
    rows, columns = blue.shape
    above, below = blue[: rows // 3, : columns // 3].sum(), blue[2 * rows // 3 :, columns // 3 :].sum()
    assert (above > 2 * below) if upper_left else (below > 2 * above)


def test_the_roc_has_a_band_unless_a_class_is_of_one_patient(tmp_path):
    truth, probability, patients = scores(1.5)
    band = plots.draw_roc(tmp_path / "band.png", roc_curve(truth, probability, patients, rounds=50))
    alone = plots.draw_roc(tmp_path / "alone.png", roc_curve(truth, probability, truth, rounds=50))
    light = "#d1e5f1"
    assert close(band, light, 6).sum() > 3000
    assert close(alone, light, 6).sum() < 300  # the curve's soft edge
    assert close(alone, canvas.BLUE).sum() > 500


def test_the_pr_curve_of_a_good_network_runs_above_that_of_a_bad_one(tmp_path):
    heights = []
    for quality in (4, 0.5):
        path = plots.draw_pr(tmp_path / f"pr{quality}.png", pr_curve(*scores(quality), rounds=20))
        blue = close(path, canvas.BLUE)
        blue[3 * len(blue) // 4 :] = False  # the legend
        heights.append(np.nonzero(blue)[0].mean())
    assert heights[0] < heights[1] - 50


def test_several_sources_have_a_panel_each(tmp_path):
    curves = {name: roc_curve(*scores(2, seed=i), rounds=5) for i, name in enumerate("abcd")}
    one_class = roc_curve(np.ones(5), np.linspace(0, 1, 5), np.arange(5), rounds=5)
    single = pixels(plots.draw_roc(tmp_path / "one.png", {"a": curves["a"], "undefined": one_class}))
    four = plots.draw_roc(tmp_path / "four.png", curves)
    _, panels = ndimage.label(ndimage.binary_dilation(close(four, canvas.BLUE), iterations=2))
    assert panels == 8  # each a curve and its legend
    assert pixels(four).shape[1] > 1.4 * single.shape[1]


def test_calibration_draws_probabilities_before_and_after(tmp_path):
    truth, probability, _ = scores(2, n=2000)
    bins = [reliability(truth, 1 / (1 + np.exp(-odds * t))) for odds in [np.log(probability / (1 - probability))]
            for t in (3, 1)]  # fmt: skip
    both = plots.draw_calibration(tmp_path / "both.png", *bins, temperature=3.0)
    alone = plots.draw_calibration(tmp_path / "alone.png", bins[0])
    for path, gray in ((both, True), (alone, False)):
        markers = ndimage.binary_opening(close(path, canvas.SOFT), np.ones((5, 5))).sum()
        assert (markers > 50) == gray
        assert close(path, canvas.BLUE).sum() > 500


def test_calibration_shows_what_is_observed_as_height(tmp_path):
    heights = []
    for positives in (10, 90):
        truth = np.arange(100) < positives
        path = plots.draw_calibration(tmp_path / f"{positives}.png", reliability(truth, np.full(100, 0.55)))
        marker = ndimage.binary_opening(close(path, canvas.BLUE, 60), np.ones((5, 5)))
        marker[:, :250] = marker[540:] = False  # legend and counts
        heights.append(np.nonzero(marker)[0].mean())
    assert heights[0] - heights[1] == pytest.approx(0.8 * 491, abs=8)  # 491 pixels from 0 to 1


def test_confusion_is_darkest_where_most_of_a_row_lies(tmp_path):
    left_to_right = (([[90, 10], [5, 95]], 1), ([[10, 90], [95, 5]], -1), ([[90, 10], [950, 50]], 0))
    for matrix, direction in left_to_right:
        path = plots.draw_confusion(tmp_path / "confusion.png", np.array(matrix), ["normal", "COVID-19"])
        blue = pixels(path)[:, :, 0] < 80
        blue &= pixels(path)[:, :, 2] > 120
        cells, count = ndimage.label(ndimage.binary_opening(blue, np.ones((15, 15))))
        assert count == 2
        (row0, column0), (row1, column1) = ndimage.center_of_mass(blue, cells, [1, 2])
        assert row0 < row1 and np.sign(round((column1 - column0) / 20)) == direction


# -- clusters ---------------------------------------------------------------------------------------


def test_the_elbow_marks_the_number_farthest_below_the_chord(tmp_path):
    places = []
    for k in (2, 4, 6):
        path = plots.draw_elbow(tmp_path / f"{k}.png", choice(k))
        left = close(path, canvas.RED)[:, : pixels(path).shape[1] // 2]
        bars = ndimage.binary_opening(left, np.ones((25, 2)))
        places.append(np.nonzero(bars)[1].mean())
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=3)
    assert places[1] - places[0] > 50


def test_the_elbow_marks_another_number_that_was_chosen(tmp_path):
    def dark(path):
        columns = close(path, canvas.INK, 62)[40:].sum(axis=0)  # below the title
        return int(columns[60 : len(columns) // 2 - 40].argmax())

    given, own = (plots.draw_elbow(tmp_path / f"{c}.png", choice(3), chosen=c) for c in (6, 3))
    assert dark(given) > dark(own) + 80


def test_silhouette_and_stability_are_drawn_beside_the_elbow(tmp_path):
    path = plots.draw_elbow(tmp_path / "elbow.png", choice(3))
    middle = pixels(path).shape[1] // 2
    assert close(path, canvas.GREEN)[:, middle:].sum() > 200 and close(path, canvas.RED)[:, middle:].sum() > 200
    assert close(path, canvas.BLUE)[:, middle:].sum() == 0


def test_the_lesion_space_has_the_clusters_colors_at_their_places(tmp_path):
    features, labels = blobs(60, 40, 30)
    path = plots.draw_lesion_space(tmp_path / "space.png", features, labels, ["a", "b", "c"])
    right = np.flatnonzero(close(path, canvas.NIGHT, 2).sum(axis=0) > 300).max()  # the legend is lower than that
    spots = [np.argwhere(close(path, cluster_color(k), 12)[:, :right]) for k in (1, 2, 3)]
    centers = np.array([spot.mean(axis=0) for spot in spots])
    spreads = [np.sqrt(((spot - center) ** 2).sum(axis=1).mean()) for spot, center in zip(spots, centers, strict=True)]
    apart = [np.linalg.norm(centers[i] - centers[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 2 * max(spreads)
    assert len(spots[0]) > 1.2 * len(spots[1]) > 1.4 * len(spots[2]) > 300
    assert close(path, cluster_color(4), 12).sum() == 0


def test_the_embedding_follows_the_rule_for_few_lesions(monkeypatch):
    import sklearn.decomposition
    import sklearn.manifold

    seen = {}
    svd, tsne = sklearn.decomposition.TruncatedSVD, sklearn.manifold.TSNE
    monkeypatch.setattr(sklearn.decomposition, "TruncatedSVD",
                        lambda components, **rest: svd(seen.setdefault("components", components), **rest))  # fmt: skip
    monkeypatch.setattr(sklearn.manifold, "TSNE", lambda perplexity, **rest: tsne(
        perplexity=seen.setdefault("perplexity", perplexity), **rest))  # fmt: skip
    for n, components, perplexity in ((7, 6, 2.0), (120, 50, 30)):
        seen.clear()
        rows, points = plots.embed_lesions(blobs(n, width=80)[0])
        assert seen == {"components": components, "perplexity": perplexity}
        assert rows.tolist() == list(range(n)) and points.shape == (n, 2)
        assert np.isfinite(points).all()


def test_the_embedding_is_the_same_every_time_and_samples_what_is_too_much():
    features, _ = blobs(40, 40)
    (rows, points), (again, twice) = (plots.embed_lesions(features, seed=1, at_most=30) for _ in range(2))
    assert len(rows) == 30 and (np.diff(rows) > 0).all() and rows.max() > 40
    assert np.array_equal(rows, again) and np.array_equal(points, twice)
    assert not np.array_equal(rows, plots.embed_lesions(features, seed=2, at_most=30)[0])


@pytest.mark.parametrize("features", [np.zeros((0, 8)), np.eye(4), np.ones((9, 8))])
def test_too_few_or_equal_lesions_give_a_sentence(tmp_path, features):
    with pytest.raises(ValueError, match="lesion"):
        plots.embed_lesions(features)
    assert is_sentence(plots.draw_lesion_space(tmp_path / "space.png", features, np.zeros(len(features), int)))


# -- sheets -----------------------------------------------------------------------------------------


def lesion(size=(200, 240), box=(80, 100, 110, 160)):
    """A dark image with a lesion of gray level 150, and its box."""
    image = np.full(size, 20, np.uint8)
    image[box[0] : box[2], box[1] : box[3]] = 150
    return image, box


@pytest.mark.parametrize("box", [(80, 100, 110, 160), (0, 0, 40, 30), (150, 190, 200, 240)])
def test_the_box_lies_about_the_lesion_in_its_clusters_color(tmp_path, box):
    path = plots.draw_lesion_sheet(tmp_path / "sheet.png", [lesion(box=box)], "Cluster 3", number=3)
    gray = np.argwhere(close(path, "#969696", 4))
    colored = np.argwhere(close(path, cluster_color(3), 40))
    assert len(gray) > 300 and len(colored) > 100
    assert np.abs(gray.min(axis=0) - colored.min(axis=0)).max() <= 5
    assert np.abs(gray.max(axis=0) - colored.max(axis=0)).max() <= 5
    assert close(path, cluster_color(1), 12).sum() == 0


def test_a_sheet_shows_no_more_than_24_lesions(tmp_path):
    for given, shown in ((3, 3), (30, 24)):
        path = plots.draw_lesion_sheet(tmp_path / "sheet.png", [lesion()] * given, "Cluster 1")
        _, tiles = ndimage.label(ndimage.binary_opening(close(path, "#969696", 6), np.ones((9, 9))))
        assert tiles == shown


def test_images_that_are_not_square_keep_their_shape(tmp_path):
    path = plots.draw_wrong_slices(tmp_path / "wrong.png", lambda i: np.full((100, 200), 150, np.uint8),
                                   np.array([0.9]), np.array([0]))  # fmt: skip
    rows, columns = np.ptp(np.argwhere(close(path, "#969696", 4)), axis=0)
    assert columns == pytest.approx(2 * rows, rel=0.05)


def test_the_most_confident_errors_are_shown_first_and_correct_slices_never_loaded(tmp_path):
    asked = []

    def image(i):
        asked.append(i)
        return np.full((50, 50), 60 + 30 * i, np.uint8)

    probability, truth = np.array([0.6, 0.9, 0.2, 0.4, 0.1, 0.8]), np.array([0, 0, 0, 1, 1, 1])
    path = plots.draw_wrong_slices(tmp_path / "wrong.png", image, probability, truth)
    assert asked == [1, 0, 4, 3]
    places = []
    for i in asked:
        level = f"#{60 + 30 * i:02x}" + 2 * f"{60 + 30 * i:02x}"
        places.append(np.argwhere(ndimage.binary_opening(close(path, level, 2), np.ones((40, 40)))).mean(axis=0))
    (row0, column0), (row1, column1), (row2, column2), (row3, column3) = places
    assert row0 == pytest.approx(row1, abs=1) and row2 == pytest.approx(row3, abs=1) and row2 > row0 + 100
    assert column0 == pytest.approx(column2, abs=1) and column0 < column1 - 100 and column2 < column3 - 100


def test_a_sheet_of_errors_has_one_part_if_there_are_no_false_positives_or_no_false_negatives(tmp_path):
    probability = np.array([0.9, 0.8, 0.1])
    both, one = (plots.draw_wrong_slices(tmp_path / f"{i}.png", lambda i: np.zeros((9, 9), np.uint8), probability, t)
                 for i, t in enumerate((np.array([0, 1, 1]), np.array([0, 1, 0]))))  # fmt: skip
    assert pixels(both).shape[0] > 1.7 * pixels(one).shape[0]


# -- all of them ------------------------------------------------------------------------------------


def nothing(path):
    """Every figure of nothing, one at a time."""
    empty = np.zeros(0)
    yield plots.draw_training(path, [])
    yield plots.draw_roc(path, roc_curve(empty, empty, empty))
    yield plots.draw_pr(path, pr_curve(np.ones(3), np.ones(3), np.arange(3)))
    yield plots.draw_pr(path, {})
    yield plots.draw_calibration(path, reliability(empty, empty))
    yield plots.draw_confusion(path, np.zeros((2, 2), int), ["a", "b"])
    yield plots.draw_elbow(path, KChoice(1, np.array([1]), np.zeros(1), np.full(1, np.nan), np.full(1, np.nan)))
    yield plots.draw_lesion_space(path, np.zeros((0, 8)), empty)
    yield plots.draw_lesion_sheet(path, [], "Cluster 1")
    yield plots.draw_wrong_slices(path, lambda i: None, empty, empty)
    yield plots.draw_wrong_slices(path, lambda i: None, np.array([0.9, 0.1]), np.array([1, 0]))


def test_figures_of_nothing_say_so_in_a_sentence(tmp_path):
    path = tmp_path / "nothing.png"
    for written in nothing(path):
        assert written == path and is_sentence(path)
        path.unlink()


def tiny(path):
    """Every figure of the least that can be drawn."""
    two = np.array([0, 1]), np.array([0.4, 0.6]), np.array(["p", "q"])
    yield plots.draw_training(path, [{"epoch": 1, "size": 64, "loss": 0.7}], chosen=1)
    yield plots.draw_roc(path, roc_curve(*two))
    yield plots.draw_pr(path, pr_curve(*two))
    yield plots.draw_calibration(path, reliability(np.ones(1), np.ones(1)))
    yield plots.draw_confusion(path, np.array([[1, 0], [0, 0]]), ["a", "b" * 60])
    yield plots.draw_elbow(path, KChoice(1, np.array([1, 2]), np.array([3.0, 0]), *np.full((2, 2), np.nan)))
    yield plots.draw_lesion_space(path, np.eye(5), np.zeros(5, int))
    yield plots.draw_lesion_sheet(path, [(np.zeros((5, 8), np.uint8), (0, 0, 1, 1))], "Cluster 7", 7, ["a lesion"])
    yield plots.draw_wrong_slices(path, lambda i: np.zeros((1, 1), np.uint8), np.ones(1), np.zeros(1), 0.5, ["x" * 99])


@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_figures_of_the_least_that_can_be_drawn_are_drawn(tmp_path):
    for path in tiny(tmp_path / "tiny.png"):
        assert pixels(path).std() > 5
        assert pixels(path).shape[0] > 230
        path.unlink()


def test_svg_is_written_where_the_name_says_so(tmp_path):
    path = plots.draw_roc(tmp_path / "roc.svg", roc_curve(*scores(2), rounds=5))
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg") and canvas.BLUE in path.read_text()
    with pytest.raises(ValueError, match="png or .svg"):
        plots.draw_training(tmp_path / "training.jpg", [])


def test_the_same_figure_gives_the_same_file(tmp_path):
    first, second = (plots.draw_training(tmp_path / name, epochs()) for name in ("a.png", "b.png"))
    assert first.read_bytes() == second.read_bytes()


def test_drawing_leaves_no_trace_and_importing_needs_neither_matplotlib_nor_torch(tmp_path):
    code = f"""
import sys
from LesionAnalysisTrainingLib import plots
print([m for m in ('matplotlib', 'torch') if m in sys.modules], plots.available())
from LesionAnalysisTrainingLib.metrics import reliability
import matplotlib
before = matplotlib.rcParams.copy()  # reading the backend's entry would load pyplot
plots.draw_calibration({str(tmp_path / "a.png")!r}, reliability([0, 1], [0.1, 0.8]))
plots.draw_lesion_sheet({str(tmp_path / "b.png")!r}, [], 'Cluster 1')
print([m for m in ('matplotlib.pyplot', 'torch') if m in sys.modules], before == matplotlib.rcParams.copy())
"""
    paths = f"{ROOT / 'LesionAnalysis'}:{ROOT / 'LesionAnalysisTraining'}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": paths, "HOME": str(tmp_path)})  # fmt: skip
    assert done.stdout.splitlines() == ["[] True", "[] True"]


def test_without_matplotlib_drawing_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "available", lambda: False)
    with pytest.raises(ImportError, match="need matplotlib"):
        plots.draw_training(tmp_path / "training.png", epochs())
