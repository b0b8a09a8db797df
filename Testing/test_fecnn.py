"""FeCNN follows the paper's figures and equations, and its folded copy computes the same."""

import math
import os
import re

import pytest
import torch
import torch.nn.functional as F
from LesionAnalysisLib.network.backbones import BACKBONES, find_imagenet, load_imagenet, make_backbone
from LesionAnalysisLib.network.fecnn import EnsembleFusion, FeCNN
from LesionAnalysisLib.network.folding import FoldedFeCNN, window_sums
from LesionAnalysisLib.network.saliency import heatmaps


def trained_like(network, seed=0):
    """Batch norms and omega with other than their initial values, so that errors in folding show."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(0.1 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            module.weight.data.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        if isinstance(module, EnsembleFusion):
            module.omega.copy_(0.2 + torch.rand(module.omega.shape, generator=generator))
    return network.eval()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_resnet50_has_the_maps_of_figure_3():
    c3, c4, c5 = FeCNN().eval().backbone(torch.rand(1, 1, 512, 512))
    assert [tuple(c.shape) for c in (c3, c4, c5)] == [(1, 512, 64, 64), (1, 1024, 32, 32), (1, 2048, 16, 16)]


def test_pyramid_has_the_five_levels_of_figure_4():
    network = FeCNN("resnet18").eval()
    levels = network.head.pyramid(*network.backbone(torch.rand(1, 1, 512, 512)))
    assert [tuple(p.shape) for p in levels] == [(1, 256, s, s) for s in (64, 32, 16, 8, 4)]


def test_pyramid_adds_the_upsampled_coarser_level_before_smoothing():
    pyramid = trained_like(FeCNN("resnet18")).head.pyramid
    c3, c4, c5 = torch.rand(1, 128, 8, 8), torch.rand(1, 256, 4, 4), torch.rand(1, 512, 2, 2)
    m5 = pyramid.lateral[2](c5)
    m4 = pyramid.lateral[1](c4) + m5.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(pyramid(c3, c4, c5)[1], pyramid.smooth[1](m4), atol=1e-5)


def test_fusion_computes_equations_1_3_and_4_by_hand():
    fusion = EnsembleFusion(levels=2, classes=2, rho=2, dropout=0.5).eval()
    for layer, value in zip(fusion.score, (1.0, -1.0), strict=True):
        torch.nn.init.constant_(layer.weight, value / 256)
        torch.nn.init.constant_(layer.bias, 0.25)
    fusion.omega.copy_(torch.tensor([2.0, 10.0]))
    fusion.classify.weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 1.0, 1.0]]))
    fusion.classify.bias.data.zero_()
    # level 1 scores 1 + 1/4, level 2 scores -1 + 1/4, which the ReLU makes 0
    assert torch.allclose(fusion(torch.ones(1, 2, 256)), torch.tensor([[2.5, 2.5]]))


@pytest.mark.parametrize(
    ("eps", "omega"),
    [(0.1, 0.5 * math.log(9)), (0.0, 0.5 * math.log(999)), (0.5, 0.5 * math.log(0.501 / 0.499)), (1.0, 0.002)],
)
def test_omega_follows_equation_2_and_is_clipped(eps, omega):
    fusion = EnsembleFusion(1, 2, 2, 0.5)
    fusion.update_omega(torch.tensor([eps]))
    assert fusion.omega.item() == pytest.approx(omega, abs=1e-5)


def test_a_level_with_omega_zero_does_not_count():
    network = trained_like(FeCNN("resnet18"))
    network.head.fusion.omega.zero_()
    logits = network(torch.rand(3, 1, 64, 64))
    assert torch.allclose(logits, network.head.fusion.classify.bias.expand(3, -1))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("fpn", [True, False])
@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_folded_copy_gives_the_same_logits(backbone, fusion, fpn, classes):
    network = trained_like(FeCNN(backbone, classes, fpn, fusion))
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        expected, folded = network(images), FoldedFeCNN(network)(images)
    assert expected.shape == (2, classes)
    assert torch.allclose(folded, expected, rtol=1e-3, atol=1e-4)


def test_folded_head_gives_the_same_heatmap():
    network = trained_like(FeCNN("resnet18"))
    folded = FoldedFeCNN(network)
    with torch.no_grad():
        maps = network.backbone(torch.rand(2, 1, 128, 128))
    positive = 1 if heatmaps(network.head, *maps, 1)[0].max() > 0 else 0  # one of two classes has activation
    plain, _ = heatmaps(network.head, *maps, positive)
    quick, _ = heatmaps(folded.head, *maps, positive)
    assert plain.max() > 0
    assert torch.allclose(plain, quick, rtol=1e-3, atol=1e-6 + 1e-4 * plain.max().item())


def test_folding_leaves_the_network_as_it_was():
    network = trained_like(FeCNN("resnet18"))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    FoldedFeCNN(network, torch.bfloat16)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_window_sums_equal_a_padded_convolution_with_one_hot_kernels():
    x = torch.rand(2, 3, 5, 7)
    sums = window_sums(x)
    for dy in range(3):
        for dx in range(3):
            kernel = torch.zeros(3, 1, 3, 3)
            kernel[:, 0, dy, dx] = 1
            expected = F.conv2d(x, kernel, padding=1, groups=3).sum((2, 3))
            assert torch.allclose(sums[:, :, dy, dx], expected, atol=1e-4)


def test_imagenet_weights_load_by_torchvision_names(tmp_path):
    source = make_backbone("resnet18")
    path = tmp_path / "weights.pth"
    torch.save({**source.state_dict(), "fc.weight": torch.zeros(1000, 512)}, path)
    target = make_backbone("resnet18")
    load_imagenet(target, str(path))
    assert torch.equal(target.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_weights_of_another_backbone_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(make_backbone("resnet18").state_dict(), path)
    with pytest.raises(ValueError, match="no weights for this backbone"):
        load_imagenet(make_backbone("resnet50"), str(path))


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_weights_load_from_a_training_checkpoint(tmp_path, key):
    source = make_backbone("resnet18")
    torch.save({key: source.state_dict(), "epoch": 7}, tmp_path / "checkpoint.pth")
    target = make_backbone("resnet18")
    load_imagenet(target, tmp_path / "checkpoint.pth")
    assert torch.equal(target.layer1[0].conv1.weight, source.layer1[0].conv1.weight)


def test_files_without_tensors_are_refused(tmp_path):
    backbone, path = make_backbone("resnet18"), tmp_path / "weights.pth"
    torch.save(backbone.state_dict(), path)
    whole = path.read_bytes()
    for content in (b"", b"<html>Not found</html>", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"weights\.pth is damaged or no file"):
            load_imagenet(backbone, path)
    for stored, words in (([torch.zeros(1)], "no tensors by name"), ({"conv1.weight": 3}, "no weights for this")):
        torch.save(stored, path)
        with pytest.raises(ValueError, match=words):
            load_imagenet(backbone, path)


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('this code was executed')",)


def test_code_in_a_file_of_weights_is_refused_and_not_executed(tmp_path):
    torch.save({"conv1.weight": Harmful()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="damaged or no file"):
        load_imagenet(make_backbone("resnet18"), tmp_path / "weights.pth")


def test_a_missing_file_of_weights_is_named(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"There is no file {re.escape(str(path))}"):
            load_imagenet(make_backbone("resnet18"), path)


def test_the_newest_weights_in_torchs_cache_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert {name: find_imagenet(name) for name in BACKBONES} == dict.fromkeys(BACKBONES)
    cache = tmp_path / "checkpoints"
    cache.mkdir()
    for age, name in enumerate((
        "vgg16_bn-6c64b313.pth", "wide_resnet50_2-95faca4d.pth", "resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth",
        "resnet50-11ad3fa6.pth.0a1b.partial", "vgg16-397923af.pth", "xception-43020ad28.pth",
    )):  # fmt: skip
        (cache / name).touch()
        os.utime(cache / name, (0, 1e9 - age))
    found = {name: path and path.name for name in BACKBONES for path in [find_imagenet(name)]}
    assert found == {
        "resnet18": None, "resnet50": "resnet50-11ad3fa6.pth", "vgg16": "vgg16-397923af.pth",
        "xception": "xception-43020ad28.pth",
    }  # fmt: skip
    with pytest.raises(ValueError, match="Unknown backbone"):
        find_imagenet("*")


def test_xceptions_tensors_have_the_names_that_are_documented():
    block = r"(block(1|2|3|12)|middle\.[0-7])"
    pattern = rf"stem\.[0134]|{block}\.body\.\d\.[012]|{block}\.skip\.[01]|exit\.[02]\.[012]"
    names = {name.rpartition(".")[0] for name in make_backbone("xception").state_dict()}
    assert not [name for name in names if not re.fullmatch(pattern, name)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"backbone": "alexnet"}, "Unknown backbone"),
        ({"classes": 1}, "two classes"),
        ({"fpn": False, "linear_top": True}, "linear top"),
        ({"fpn": False, "lesion_head": True}, "feature pyramid"),
    ],
)
def test_invalid_settings_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        FeCNN(**arguments)


def test_sizes_that_are_no_multiple_of_32_are_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        FeCNN("resnet18").eval()(torch.rand(1, 1, 100, 128))


def test_three_equal_channels_are_one_channel_before_summed_weights():
    network = FeCNN("resnet18").eval()
    x = torch.rand(1, 1, 64, 64)
    first = network.backbone_maps.conv1
    gray = (x - 0.449) / 0.226
    expected = first(gray.expand(-1, 3, -1, -1))
    summed = F.conv2d(gray, first.weight.sum(1, keepdim=True), stride=2, padding=3)
    assert torch.allclose(expected, summed, atol=1e-4)


def test_the_folded_lesion_head_gives_the_same_map():
    torch.manual_seed(0)
    network = trained_like(FeCNN("resnet18", lesion_head=True))
    folded = FoldedFeCNN(network)
    x = torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        plain = network.head.lesions(network.head.pyramid(*network.backbone(x))[0]).sigmoid()
        assert torch.allclose(folded.lesion_map(*folded.backbone(x)), plain, atol=1e-5)
    assert plain.shape == (2, 8, 12) and plain.std() > 0
    assert FoldedFeCNN(FeCNN("resnet18").eval()).lesion_map is None
