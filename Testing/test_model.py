"""Model folders: what is saved can be loaded, compactly, and nothing damaged or malicious is accepted."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from LesionAnalysisLib.lesions.clusters import LesionClusters
from LesionAnalysisLib.model import arrays as model_arrays
from LesionAnalysisLib.model import bundle as model_bundle
from LesionAnalysisLib.model import folder as model_folder
from LesionAnalysisLib.model.bundle import ModelBundle, ModelClusters, ModelDescription
from LesionAnalysisLib.model.folder import bundled_folders, describe_model
from LesionAnalysisLib.model.quantization import dequantize, quantize, quantize_weight
from LesionAnalysisLib.network.backbones import BACKBONES
from LesionAnalysisLib.network.fecnn import FeCNN
from torch import nn

FILES = ("config.json", "weights.npz", "clusters.npz", "MODEL_CARD.md", "checksums.json")
PREPROCESSING = {"window_hu": [-1200.0, 600.0], "size": 512}


class TinyBackbone(nn.Module):
    """Three convolutions instead of fifty: the folder is tested, not the network."""

    channels = (32, 64, 128)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 8, 8), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = nn.Conv2d(64, 128, 3, 2, 1, bias=False), nn.BatchNorm2d(128)

    def forward(self, x):
        c3 = self.bn1(self.conv1(x)).relu()
        c4 = self.bn2(self.conv2(c3)).relu()
        return c3, c4, self.bn3(self.conv3(c4)).relu()


@pytest.fixture(scope="module", autouse=True)
def tiny_backbone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", TinyBackbone)
        yield


def trained_network(backbone="tiny", classes=2, **settings):
    """A network with running batch norms and trained last layers, which detects blobs."""
    torch.manual_seed(0)
    network = FeCNN(backbone, classes=classes, **settings)
    images, truth = slices(32, seed=5)
    with torch.no_grad():
        for _ in range(3):
            network(images)
        maps = network.eval().backbone(images)
        if settings.get("fpn", True) or settings.get("fusion", True):
            top, inputs = network.head.fusion, (network.head.pooled(*maps),)
        else:
            top, inputs = network.head, maps
    optimizer = torch.optim.Adam(top.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(top(*inputs), truth).backward()
        optimizer.step()
    return network


def slices(count=8, seed=1, size=64):
    """Smooth random images (count, 1, size, size), every other one with a bright blob, and their labels."""
    random = torch.Generator().manual_seed(seed)
    coarse = 0.6 * torch.rand(count, 1, 9, 9, generator=random)
    truth = torch.arange(count) % 2
    coarse[truth == 1, 0, 3, 5] += torch.rand(len(coarse[truth == 1]), generator=random)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1), truth


def clusters_of(width, count):
    centers = np.repeat(np.arange(count, dtype=float)[:, None], width, 1)
    return LesionClusters(count, n_init=1).fit(np.vstack([centers, centers[:1]]))


def clusters_for(network, features=2, density=3):
    return ModelClusters(clusters_of(network.backbone_maps.channels[-1], features), clusters_of(5, density))


def statistics_for(network):
    width = network.backbone_maps.channels[0]
    return {"level": "c3", "mean": [0.1] * width, "deviation": [1.0] * width, "components": [], "limit": 3.0}


def save(folder, network, clusters=None, attachments=None, overwrite=False, **changes):
    description = {
        "title": "A test model", "license": "CC0", "classes": ("NonCOVID", "COVID"),
        "preprocessing": PREPROCESSING, "temperature": 1.5, "study": {"offset": 0.25},
        "input_statistics": statistics_for(network), "training": {"slices": 12},
    }  # fmt: skip
    return ModelBundle.save(folder, network, ModelDescription(**{**description, **changes}),
                            clusters or clusters_for(network), "# Card\n\nMeasured: nothing; ümlaut.\n",
                            attachments=attachments, overwrite=overwrite)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return trained_network()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "test-model", network)


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved.folder, tmp_path / "copy")


def replace_file(folder, name, content):
    """Change a file and its checksum, as the author of a malicious model would."""
    (folder / name).write_bytes(content)
    sums = json.loads((folder / "checksums.json").read_text())
    sums[name] = hashlib.sha256(content).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(sums))


def change_config(folder, **changes):
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    replace_file(folder, "config.json", json.dumps(config).encode())


# What is saved can be loaded


def test_bundle_keeps_what_it_was_given(saved, network):
    bundle = ModelBundle.load(str(saved.folder))
    assert (bundle.id, bundle.title, bundle.license) == ("test-model", "A test model", "CC0")
    assert (bundle.classes, bundle.positive, bundle.temperature) == (("NonCOVID", "COVID"), 1, 1.5)
    assert (bundle.preprocessing, bundle.study) == (PREPROCESSING, {"offset": 0.25})
    assert bundle.threshold == 0.5
    assert (bundle.input_statistics, bundle.training) == (statistics_for(network), {"slices": 12})
    assert bundle.card == "# Card\n\nMeasured: nothing; ümlaut.\n"
    assert sorted(p.name for p in saved.folder.iterdir()) == sorted(FILES)


def test_the_threshold_of_the_training_is_kept(tmp_path, network):
    bundle = save(tmp_path / "m", network, threshold=0.37)
    assert bundle.threshold == describe_model(tmp_path / "m")["threshold"] == 0.37


def test_a_threshold_of_0_or_1_is_not_saved(tmp_path, network):
    for threshold in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError):
            save(tmp_path / "m", network, threshold=threshold)
    assert not list(tmp_path.iterdir())


def test_clusters_by_features_and_by_density_are_kept_exactly(saved, network):
    given = clusters_for(network)
    for name, width in (("features", 128), ("density", 5)):
        before, after = getattr(given, name), getattr(saved.clusters, name)
        assert np.array_equal(after.cluster_centers_, before.cluster_centers_)
        features = np.random.default_rng(0).normal(size=(5, width))
        assert np.array_equal(after.predict_proba(features), before.predict_proba(features))
    assert (saved.clusters.features.n_clusters, saved.clusters.density.n_clusters) == (2, 3)


def test_probabilities_change_by_less_than_a_hundredth(tmp_path):
    network = trained_network("resnet18")
    images, _ = slices(32, seed=2)
    rounded = save(tmp_path / "m", network).network()
    with torch.no_grad():
        before, after = (n(images).softmax(1) for n in (network, rounded))
    assert before[:, 1].std() > 0.1  # the network depends on its input
    assert (before - after).abs().max() < 0.01


def test_network_is_ready_for_inference_and_a_new_one_each_time(saved):
    first, second = saved.network(), saved.network()
    assert not first.training
    assert {p.dtype for p in first.parameters()} == {torch.float32}
    with torch.no_grad():
        first.head.fusion.classify.weight.zero_()
    assert second.head.fusion.classify.weight.abs().sum() > 0
    assert saved.network().head.fusion.classify.weight.abs().sum() > 0


def test_small_weights_and_omega_are_kept_exactly(tmp_path, network):
    saved = save(tmp_path / "m", network)
    given, back = network.state_dict(), saved.network().state_dict()
    assert given.keys() == back.keys()
    for name, value in given.items():
        if value.ndim < 2 or value.numel() < 16384:
            assert torch.equal(value, back[name]), name


def test_saving_does_not_change_the_network(tmp_path):
    network = trained_network().half()
    save(tmp_path / "m", network)
    assert {p.dtype for p in network.parameters()} == {torch.float16}


@pytest.mark.parametrize("settings", [
    {"classes": 3}, {"fusion": False}, {"fpn": False, "fusion": False},
    {"fpn": False, "fusion": False, "linear_top": True}, {"lesion_head": True},
])  # fmt: skip
def test_every_type_of_network_can_be_saved(tmp_path, settings):
    network = trained_network(**settings)
    classes = ("Normal", "CAP", "COVID")[-settings.get("classes", 2) :]
    parts = {"classes": classes, "positive": len(classes) - 1, "clusters": clusters_for(network, 3, 2)}
    bundle = save(tmp_path / "m", network, **parts)
    assert bundle.network().settings == network.settings
    assert bundle.classes == classes
    images, _ = slices()
    with torch.no_grad():
        assert (bundle.network()(images).softmax(1) - network(images).softmax(1)).abs().max() < 0.02


def test_resnet50_takes_at_most_35_megabytes(tmp_path):
    network = FeCNN("resnet50")
    bundle = save(tmp_path / "m", network)
    assert sum(p.stat().st_size for p in bundle.folder.iterdir()) <= 35e6


def test_saving_twice_gives_the_same_bytes(saved, network, tmp_path):
    assert save(tmp_path / "test-model", network).checksum == saved.checksum


# 8-bit weights


def test_weights_are_rounded_as_computed_by_hand():
    row = np.zeros(64, np.float32)
    row[:4] = [1.27, -0.635, 0.02, 0.0049]  # scale 0.01: 127, -63.5, 2, 0.49
    integers, scales = quantize_weight(np.stack([row, 2 * row, 0 * row]))
    assert scales[:2] == pytest.approx([0.01, 0.02], rel=1e-5)
    assert integers[0, :4].tolist() in ([127, -63, 2, 0], [127, -64, 2, 0])
    assert integers[1].tolist() == integers[0].tolist()
    assert not integers[2].any()


def test_rounding_errors_cancel_within_kernels_and_channels():
    weight = np.random.default_rng(0).normal(size=(32, 64, 3, 3)).astype(np.float32)
    integers, scales = quantize_weight(weight)
    error = weight / scales[:, None, None, None] - integers
    assert abs(error.sum((1, 2, 3))).max() < 0.51
    clipped = np.abs(integers) == 127
    assert abs(error[~clipped]).max() <= 1.0
    plain = weight / scales[:, None, None, None] - np.rint(weight / scales[:, None, None, None])
    assert abs(error.sum((2, 3))).mean() < 0.7 * abs(plain.sum((2, 3))).mean()


def test_the_scale_clips_an_outlier_where_that_lowers_the_error():
    row = np.random.default_rng(0).uniform(-1, 1, 20000).astype(np.float32)
    row[0] = 1.3
    _, scales = quantize_weight(row[None])
    assert scales[0] < 1.29 / 127


def test_only_large_weights_become_integers():
    arrays = {
        "conv": np.ones((128, 256, 3, 3), np.float32), "early": np.full((64, 64, 3, 3), 1e6, np.float32),
        "score": np.ones((2, 256), np.float32), "bias": np.ones(30000, np.float32), "count": np.array(7),
    }  # fmt: skip
    stored = quantize(arrays)
    assert {k: v.dtype.str for k, v in stored.items()} == {
        "conv": "|i1", "scale/conv": "<f4", "early": "<f2", "score": "<f4", "bias": "<f4", "count": "<i8",
    }  # fmt: skip
    back = dequantize(stored)
    assert {k: v.dtype.str for k, v in back.items() if k != "count"} == dict.fromkeys(list(arrays)[:4], "<f4")
    assert np.allclose(back["conv"], 1.0, atol=1e-6)
    assert back["early"].max() == 65504  # the largest half, not infinity


def test_weights_that_are_not_finite_are_refused(tmp_path):
    network = trained_network()
    with torch.no_grad():
        network.head.fusion.classify.bias[0] = float("nan")
    with pytest.raises(ValueError, match=r"head\.fusion\.classify\.bias .* finite"):
        save(tmp_path / "m", network)
    assert not list(tmp_path.iterdir())


# Nothing damaged is accepted


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["changed", "truncated", "emptied"])
def test_damaged_file_is_refused(copy, name, damage):
    content = (copy / name).read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    (copy / name).write_bytes({"changed": changed, "truncated": content[:middle], "emptied": b""}[damage])
    with pytest.raises((ValueError, OSError), match="reinstall LesionAnalysis or choose another"):
        ModelBundle.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {name}"):
        ModelBundle.load(copy)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model folder .*nowhere"):
        ModelBundle.load(tmp_path / "nowhere")


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('this code was executed')",)


@pytest.mark.parametrize("name", ["weights.npz", "clusters.npz"])
def test_pickled_objects_are_refused_and_not_executed(copy, tmp_path, name):
    array = np.empty(1, object)
    array[0] = Harmful()
    np.savez(tmp_path / "harmful.npz", centers=array)
    replace_file(copy, name, (tmp_path / "harmful.npz").read_bytes())
    with pytest.raises(ValueError, match=f"the content of {name} is invalid"):
        ModelBundle.load(copy)


def test_pickle_in_place_of_the_weights_is_refused_and_not_executed(copy):
    import pickle

    replace_file(copy, "weights.npz", pickle.dumps(Harmful()))
    with pytest.raises(ValueError, match="is invalid"):
        ModelBundle.load(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b", "a\\b", "..", ".hidden", ""])
def test_files_outside_the_folder_are_not_read(copy, name, monkeypatch):
    sums = json.loads((copy / "checksums.json").read_text())
    (copy / "checksums.json").write_text(json.dumps({name: "0" * 64, **sums}))
    read = []
    monkeypatch.setattr(model_folder, "_read_file", _recording(model_folder._read_file, read))
    with pytest.raises(ValueError, match="outside of the folder"):
        ModelBundle.load(copy)
    assert read == ["checksums.json"]


def _recording(function, names):
    def recorder(folder, name):
        names.append(name)
        return function(folder, name)

    return recorder


def test_files_without_a_checksum_are_not_trusted(copy):
    (copy / "checksums.json").write_text(json.dumps({"config.json": "0" * 64}))
    with pytest.raises(ValueError, match="does not list all files"):
        ModelBundle.load(copy)


def test_newer_format_is_refused(copy):
    change_config(copy, schema=2)
    with pytest.raises(ValueError, match="format is 2, and this LesionAnalysis reads format 1"):
        ModelBundle.load(copy)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"classes": ["COVID"]}, "classes do not fit"),
        ({"positive": 2}, "classes do not fit"),
        ({"temperature": 0}, "temperature does not lie between 0 and inf"),
        ({"temperature": "hot"}, "should be a number"),
        ({"threshold": 0}, "threshold does not lie between 0 and 1"),
        ({"threshold": 1.0}, "threshold does not lie between 0 and 1"),
        ({"threshold": float("nan")}, "threshold does not lie between 0 and 1"),
        ({"threshold": None}, "should be a number"),
        ({"preprocessing": None}, "should be a table"),
        ({"title": 3}, "should be a text"),
    ],
)
def test_an_invalid_configuration_is_refused(copy, changes, words):
    change_config(copy, **changes)
    with pytest.raises(ValueError, match=f"{words}.*install"):
        ModelBundle.load(copy)


@pytest.mark.parametrize("name", ["temperature", "threshold", "fecnn", "input_statistics"])
def test_missing_setting_is_named(copy, name):
    config = json.loads((copy / "config.json").read_text())
    del config[name]
    replace_file(copy, "config.json", json.dumps(config).encode())
    with pytest.raises(ValueError, match=rf"config\.json lacks '{name}'"):
        ModelBundle.load(copy)


@pytest.mark.parametrize(
    "fecnn", [{"backbone": "resnet50"}, {"backbone": "?"}, {"x": 1}]
)
def test_weights_of_another_network_are_refused(copy, fecnn):
    change_config(copy, fecnn={"classes": 2, "dropout": 0.5, **fecnn})
    with pytest.raises(ValueError, match="weights, clusters and configuration do not fit together.*install"):
        ModelBundle.load(copy).network()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_lack_of_memory_does_not_pass_for_a_damaged_model(saved, monkeypatch, error):
    def exhausted(*_):
        raise error

    monkeypatch.setattr(model_bundle, "restore_network", exhausted)
    with pytest.raises(MemoryError, match="not enough memory to load the model"):
        saved.network()


def test_errors_of_the_program_do_not_pass_for_a_damaged_model(saved, monkeypatch):
    monkeypatch.setattr(model_bundle, "restore_network", lambda *_: None)
    with pytest.raises(AttributeError):
        saved.network()


def test_missing_tensor_is_refused(copy, tmp_path):
    with np.load(copy / "weights.npz") as archive:
        arrays = {k: archive[k] for k in archive.files if k != "backbone_maps.bn1.weight"}
    np.savez(tmp_path / "fewer.npz", **arrays)
    replace_file(copy, "weights.npz", (tmp_path / "fewer.npz").read_bytes())
    with pytest.raises(ValueError, match="do not fit"):
        ModelBundle.load(copy).network()


def test_unpacked_size_has_a_limit(copy, monkeypatch):
    monkeypatch.setattr(model_arrays, "_MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="is invalid"):
        ModelBundle.load(copy)


# Saving


@pytest.mark.parametrize(("features", "density"), [(3, 5), (128, 4)])
def test_clusters_of_another_network_or_of_other_percentiles_are_refused(tmp_path, network, features, density):
    other = ModelClusters(clusters_of(features, 2), clusters_of(density, 2))
    with pytest.raises(ValueError, match=f"{features} features and {density} percentiles, not of 128 and 5"):
        save(tmp_path / "m", network, clusters=other)


def test_input_statistics_of_another_network_are_refused(tmp_path, network):
    statistics = {**statistics_for(network), "mean": [0.0], "deviation": [1.0]}
    with pytest.raises(ValueError, match="input statistics are of 1 channels, not of 32"):
        save(tmp_path / "m", network, input_statistics=statistics)


def test_existing_folder_is_not_overwritten_unasked(tmp_path, network):
    save(tmp_path / "m", network)
    with pytest.raises(FileExistsError, match="exists already"):
        save(tmp_path / "m", network)
    assert save(tmp_path / "m", network, title="newer", overwrite=True).title == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_is_no_model_is_never_overwritten(tmp_path, network):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(FileExistsError):
        save(tmp_path / "thesis", network, overwrite=True)


def test_an_interrupted_save_keeps_the_earlier_model(tmp_path, network, monkeypatch):
    save(tmp_path / "m", network)
    monkeypatch.setattr(model_bundle.Path, "rename", _fails_on_new(model_bundle.Path.rename))
    with pytest.raises(OSError, match="disk"):
        save(tmp_path / "m", network, title="newer", overwrite=True)
    monkeypatch.undo()
    assert ModelBundle.load(tmp_path / "m").title == "A test model"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def _fails_on_new(rename):
    def failing(self, target):
        if "partial" in self.name:
            raise OSError("disk full")
        return rename(self, target)

    return failing


def test_attachments_are_in_the_folder_but_no_part_of_the_model(tmp_path, network, saved):
    attachments = {"metrics.json": b"{}", "plots/roc.png": b"ROC", "plots/loss.png": b"loss"}
    bundle = save(tmp_path / "test-model", network, attachments=attachments)
    for name, content in attachments.items():
        assert (bundle.folder / name).read_bytes() == content
    assert bundle.checksum == saved.checksum
    (bundle.folder / "metrics.json").write_text("annotated by hand")
    shutil.rmtree(bundle.folder / "plots")
    assert ModelBundle.load(bundle.folder).checksum == saved.checksum


def test_overwriting_removes_the_attachments_of_the_earlier_model(tmp_path, network):
    save(tmp_path / "m", network, attachments={"plots/roc.png": b"old"})
    save(tmp_path / "m", network, attachments={"metrics.json": b"new"}, overwrite=True)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == sorted((*FILES, "metrics.json"))


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/x", "a/b/c", "a//b", "a/", "/a", "a/..", "a\\b", "..", ".hidden", "", "C:x", "a b", "\u017f",
     *FILES, "Config.json", "config.json.", "weights.npz/x", "MODEL_CARD.md/x"],
)  # fmt: skip
def test_attachments_with_other_than_plain_free_names_are_refused(tmp_path, network, name):
    with pytest.raises(ValueError, match="cannot be attached"):
        save(tmp_path / "m", network, attachments={name: b""})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [("plots", "plots/roc.png"), ("plots/roc.png", "Plots"), ("a.png", "A.png")])
def test_attachments_that_collide_are_refused(tmp_path, network, names):
    with pytest.raises(ValueError, match="is taken"):
        save(tmp_path / "m", network, attachments=dict.fromkeys(names, b""))


def test_an_attachment_that_cannot_be_written_leaves_nothing(tmp_path, network):
    with pytest.raises(TypeError):
        save(tmp_path / "m", network, attachments={"metrics.json": {"auc": 0.9}})
    assert not list(tmp_path.iterdir())


# The bundled model


def test_bundled_model_is_found_by_order_and_id(tmp_path, network, monkeypatch):
    save(tmp_path / "b" / "one", network)
    save(tmp_path / "b" / "two", network)
    monkeypatch.setattr(model_folder, "bundled_folders", lambda: [tmp_path / "a", tmp_path / "b"])
    assert ModelBundle.bundled().id == "two"
    assert ModelBundle.bundled("one").id == "one"
    with pytest.raises(FileNotFoundError, match="no model 'three'.*choose another"):
        ModelBundle.bundled("three")
    shutil.copytree(tmp_path / "b" / "one", tmp_path / "a" / "one")
    assert ModelBundle.bundled().folder.parent == tmp_path / "a"


def test_without_a_bundled_model_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folder, "bundled_folders", lambda: [tmp_path])
    with pytest.raises(FileNotFoundError, match="comes with no model: reinstall"):
        ModelBundle.bundled()


def test_bundled_models_are_searched_in_source_wheel_and_slicer():
    source, wheel, slicer = bundled_folders()
    assert (source.parts[-2:], wheel.parts[-2:]) == (("Resources", "Models"), ("LesionAnalysisLib", "Models"))
    assert source.parent.parent == slicer.parent.parent.parent


def test_a_model_is_described_without_torch(tmp_path, network):
    save(tmp_path / "m", network)
    described = describe_model(tmp_path / "m")
    loaded = ModelBundle.load(tmp_path / "m")
    assert [described[k] for k in ("id", "title", "license")] == [loaded.id, loaded.title, loaded.license]
    program = "import sys; import LesionAnalysisLib.model.folder as m; m.describe_model(sys.argv[1]); "
    program += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "m")], env=environment(), check=False)
    assert done.returncode == 0


def test_a_changed_model_is_not_described(tmp_path, network):
    folder = save(tmp_path / "m", network).folder
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        describe_model(folder)


def environment():
    library = str(Path(model_folder.__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([library, os.environ.get("PYTHONPATH", "")])}
