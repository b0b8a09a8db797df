"""Grad++ and other saliency rules compute what their papers say and leave no hook or gradient."""

from __future__ import annotations

import pytest
import torch
from helpers_saliency import import_grad_cam
from LesionAnalysisLib.lesions.regions import find_regions, normalize_heatmap
from LesionAnalysisLib.network.fecnn import FeCNN
from LesionAnalysisLib.network.saliency import (
    SALIENCY,
    cam,
    grad_pp,
    gradcam_plus_plus,
    heatmaps,
    hirescam,
    layercam,
    log_odds,
    normgrad,
)
from torch import nn

# Two channels on two by two cells; the gradients' spatial means are 1 and -1/2.
A = torch.tensor([[[[1.0, 2], [3, 4]], [[4, 0], [0, 2]]]])
G = torch.tensor([[[[1.0, 0], [1, 2]], [[-1, -1], [0, 0]]]])


class PooledHead(nn.Module):
    """A minimal head: every level pooled, a nonlinearity, one linear layer. Counts its calls."""

    def __init__(self, channels=6, classes=2, gain=1.0, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        self.linear = nn.Linear(3 * channels, classes)
        self.gain = gain
        self.calls = 0

    def forward(self, c3, c4, c5):
        self.calls += 1
        pooled = torch.cat([c3.mean((2, 3)), c4.mean((2, 3)), torch.tanh(self.mix(c5)).mean((2, 3))], dim=1)
        return self.gain * self.linear(pooled)


def eager_head(classes=2) -> PooledHead:
    """Any activation of C5 is evidence of class 1."""
    head = PooledHead(classes=classes)
    with torch.no_grad():
        head.mix.weight.abs_()
        head.linear.weight[1, -6:] = 1.0
    return head


def levels(n=2, channels=6, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(n, channels, size, size, generator=generator).to(dtype) for size in (16, 8, 4)]


def normalized(heatmap):
    return torch.stack([torch.from_numpy(normalize_heatmap(h.float().numpy())) for h in heatmap])


# --- the rules, by hand ----------------------------------------------------------------------------------


def test_grad_pp_is_the_relu_of_channels_weighted_by_their_mean_gradient():
    # 1 * [[1, 2], [3, 4]] - 1/2 * [[4, 0], [0, 2]] = [[-1, 2], [3, 3]]
    assert grad_pp(A, G).tolist() == [[[0, 2], [3, 3]]]


def test_hirescam_weighs_each_cell_by_its_own_gradient():
    assert hirescam(A, G).tolist() == [[[0, 0], [3, 8]]]  # 1 - 4 = -3, 0, 3, 8


def test_layercam_ignores_negative_gradients():
    assert layercam(A, G).tolist() == [[[1, 0], [3, 8]]]


def test_normgrad_multiplies_channel_norms():
    expected = torch.tensor([[[17 * 2, 4 * 1], [9 * 1, 20 * 4]]]).sqrt()
    torch.testing.assert_close(normgrad(A, G), expected)


def test_gradcam_plus_plus_by_hand():
    # alpha = 1 / (2 + g sum(A)) where g is positive. Channel 1, sum 10: 1/12, 1/12, 1/22;
    # weight 1/12 + 1/12 + 2/22 = 17/66. Channel 2, sum 6, two cells with g = 1: weight 1/8 + 1/8 = 1/4.
    heatmap = gradcam_plus_plus(A, G.abs())
    expected = 17 / 66 * A[:, 0] + 1 / 4 * A[:, 1]
    torch.testing.assert_close(heatmap / heatmap.max(), expected / expected.max())


def test_cam_weighs_channels_by_the_class_weights():
    assert cam(A, torch.tensor([1, -0.5])).tolist() == [[[0, 2], [3, 3]]]


def test_log_odds_by_hand():
    logits = torch.tensor([[1.0, 3.0]])
    assert log_odds(logits, 1).item() == 2
    assert log_odds(logits, 0).item() == -2
    assert log_odds(logits, -1).item() == 2
    three = torch.log(torch.tensor([[1.0, 2.0, 6.0]]))  # odds of the third: 6 against 3
    assert log_odds(three, 2).item() == pytest.approx(0.6931472)


# --- edge cases of the method ----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("positive", [0, 1])
def test_map_equals_that_of_the_softmax_probability(classes, positive):
    head, (c3, c4, c5) = PooledHead(classes=classes).double(), levels(n=4, dtype=torch.float64)
    c5 = c5 - 0.5  # so that every class has evidence in some cells
    leaf = c5.clone().requires_grad_()
    probability = head(c3, c4, leaf).softmax(1)[:, positive].sum()
    gradients = torch.autograd.grad(probability, leaf)[0]
    weights = gradients.mean((2, 3))
    expected = torch.stack([torch.tensordot(w, maps, dims=1) for w, maps in zip(weights, c5, strict=True)])
    expected = expected.clamp_min(0)
    assert expected.amax((1, 2)).min() > 0  # otherwise nothing would be compared
    heatmap, _ = heatmaps(head, c3, c4, c5, positive)
    torch.testing.assert_close(normalized(heatmap), normalized(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", SALIENCY)
def test_a_saturated_probability_does_not_zero_the_map(method, classes):
    moderate, confident = eager_head(classes), eager_head(classes)
    c3, c4, c5 = levels()
    with torch.no_grad():
        confident.linear.bias[1] += 1e4
    leaf = c5.clone().requires_grad_()
    probability = confident(c3, c4, leaf).softmax(1)[:, 1]
    assert probability.tolist() == [1.0, 1.0]
    assert not torch.autograd.grad(probability.sum(), leaf)[0].any()  # hence the log-odds
    heatmap, logits = heatmaps(confident, c3, c4, c5, 1, method)
    assert (logits[:, 1] - logits[:, 0] > 9_000).all()
    assert torch.isfinite(heatmap).all() and (heatmap.amax((1, 2)) > 0).all()
    if classes == 2:  # of three, the bias also changes how the others share
        torch.testing.assert_close(heatmap, heatmaps(moderate, c3, c4, c5, 1, method)[0], rtol=1e-4, atol=1e-7)


def test_log_odds_stay_finite_with_logits_far_apart():
    logits = torch.tensor([[-1e4, 1e4, 0.0]], requires_grad=True)
    odds = log_odds(logits, 1)
    assert odds.item() == 1e4
    odds.sum().backward()
    assert logits.grad.tolist() == [[0, 1, -1]]


@pytest.mark.parametrize("rule", SALIENCY.values(), ids=SALIENCY)
@pytest.mark.parametrize("zero", ["activations", "gradients", "both"])
def test_zero_in_gives_zero_out(rule, zero):
    a = torch.zeros_like(A) if zero != "gradients" else A
    g = torch.zeros_like(G) if zero != "activations" else G
    assert rule(a, g).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("rule", SALIENCY.values(), ids=SALIENCY)
def test_nan_in_one_slice_affects_no_other_and_gives_no_lesion(rule):
    a, g = torch.cat([A, A]), torch.cat([G, G])
    a[0, 0, 0, 0] = g[0, 0, 0, 0] = float("nan")
    heatmap = rule(a, g)
    assert torch.equal(heatmap[1:], rule(A, G))
    assert len(find_regions(heatmap[0].numpy())) == 0


@pytest.mark.parametrize("rule", SALIENCY.values(), ids=SALIENCY)
@pytest.mark.parametrize("factor", [1e-12, 1e-15])  # 1e-15 cubed is 0 in float32
def test_tiny_gradients_keep_the_shape_of_the_map(rule, factor):
    generator = torch.Generator().manual_seed(0)
    a, g = torch.rand(1, 8, 4, 4, generator=generator), torch.randn(1, 8, 4, 4, generator=generator)
    # Grad-CAM++ is not linear in the gradients; it is once g sum(A) vanishes beside 2
    torch.testing.assert_close(
        normalized(rule(a, g * factor)), normalized(rule(a, g * 1e-8)), rtol=1e-3, atol=1e-5
    )


# --- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", SALIENCY.values(), ids=SALIENCY)
@pytest.mark.parametrize("autocast", [False, True])
def test_bf16_maps_are_summed_in_float32(rule, autocast):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 512, 4, 4, generator=generator).bfloat16()
    g = torch.randn(2, 512, 4, 4, generator=generator).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        heatmap = rule(a, g)
    assert heatmap.dtype == torch.float32
    expected = rule(a.double(), g.double())
    torch.testing.assert_close(normalized(heatmap), normalized(expected), rtol=0, atol=1e-4)


def test_bf16_head_gives_nearly_the_float32_map():
    head, c = eager_head(), levels()
    heatmap, logits = heatmaps(head, *c, 1)
    half_heat, half_logits = heatmaps(head.bfloat16(), *(x.bfloat16() for x in c), 1)
    assert half_heat.dtype == torch.float32 and half_logits.dtype == torch.bfloat16
    torch.testing.assert_close(half_logits.float(), logits, atol=0.02, rtol=0.02)
    torch.testing.assert_close(normalized(half_heat), normalized(heatmap), atol=0.05, rtol=0)


# --- no side effects -------------------------------------------------------------------------------------


def hooks(module: nn.Module) -> int:
    return sum(
        len(value)
        for part in module.modules()
        for name, value in vars(part).items()
        if "hooks" in name and hasattr(value, "__len__")
    )


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_hooks_gradients_and_modes_are_left_unchanged(mode):
    head, c = PooledHead(), levels()
    plain = heatmaps(head, *c, 1)
    with mode():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        heatmap, logits = heatmaps(head, *c, 1)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert hooks(head) == 0
    assert all(p.grad is None and p.requires_grad for p in head.parameters())
    assert all(x.grad is None and not x.requires_grad and x._backward_hooks is None for x in c)
    assert not heatmap.requires_grad and not logits.requires_grad
    assert torch.equal(heatmap, plain[0]) and torch.equal(logits, plain[1])


def test_feature_maps_may_be_inference_tensors():
    head, plain = PooledHead(), levels()
    with torch.inference_mode():
        c = [x.clone() for x in plain]
    assert all(x.is_inference() for x in c)
    assert torch.equal(heatmaps(head, *c, 1)[0], heatmaps(head, *plain, 1)[0])
    with torch.inference_mode():
        assert torch.equal(heatmaps(head, *c, 1)[0], heatmaps(head, *plain, 1)[0])


def test_frozen_parameters_make_no_difference():
    head, c = PooledHead(), levels()
    expected = heatmaps(head, *c, 1)[0]
    assert torch.equal(heatmaps(head.requires_grad_(False), *c, 1)[0], expected)


def test_gradients_of_a_training_step_are_left_unchanged():
    head, c = PooledHead(), levels()
    head(*c).sum().backward()
    before = [p.grad.clone() for p in head.parameters()]
    heatmaps(head, *c, 1)
    assert all(torch.equal(p.grad, old) for p, old in zip(head.parameters(), before, strict=True))


def test_the_head_runs_once_for_a_batch_and_slices_do_not_mix():
    head, c = PooledHead(), levels(n=3)
    heatmap, logits = heatmaps(head, *c, 1)
    assert head.calls == 1
    assert heatmap.shape == (3, 4, 4) and logits.shape == (3, 2)
    for i in range(3):
        alone = heatmaps(head, *(x[i : i + 1] for x in c), 1)
        torch.testing.assert_close((heatmap[i : i + 1], logits[i : i + 1]), alone)


# --- two scales ------------------------------------------------------------------------------------------


def test_two_scales_give_the_geometric_mean_of_their_maps():
    head, (c3, c4, c5) = PooledHead(), levels(n=1)
    heatmap, _ = heatmaps(head, c3, c4, c5, 1, "layercam", fuse_scales=True)
    leaves = [c4.clone().requires_grad_(), c5.clone().requires_grad_()]
    gradients = torch.autograd.grad(log_odds(head(c3, *leaves), 1).sum(), leaves)
    fine, coarse = (layercam(c, g) for c, g in zip((c4, c5), gradients, strict=True))
    coarse = nn.functional.interpolate(coarse[None], fine.shape[1:], mode="bilinear")[0]
    torch.testing.assert_close(heatmap, (fine / fine.max() * coarse / coarse.max()).sqrt())
    assert heatmap.shape == (1, *c4.shape[2:])


def test_a_head_that_ignores_c4_maps_c5_alone():
    head, (c3, c4, c5) = PooledHead(), levels(n=1)
    alone = lambda c3, c4, c5: head(c5, c5, c5)  # noqa: E731
    heatmap, _ = heatmaps(alone, c3, c4, c5, 1, fuse_scales=True)
    plain, _ = heatmaps(alone, c3, c4, c5, 1)
    expected = nn.functional.interpolate(plain[None], c4.shape[2:], mode="bilinear")[0]
    torch.testing.assert_close(heatmap, expected / expected.max())


# --- errors ----------------------------------------------------------------------------------------------


def test_invalid_arguments_are_errors():
    head, c = PooledHead(), levels()
    with pytest.raises(ValueError, match="choose one of grad"):
        heatmaps(head, *c, 1, method="guesswork")
    with pytest.raises(ValueError, match="no class 2 among 2"):
        heatmaps(head, *c, 2)
    with pytest.raises(ValueError, match="classes"):
        log_odds(torch.zeros(3, 1), 0)


# --- independent oracles ---------------------------------------------------------------------------------


def test_fecnn_map_equals_plain_autograd_through_the_whole_network():
    torch.manual_seed(0)
    network = FeCNN("resnet18", dropout=0.0).eval()
    images = torch.rand(2, 1, 64, 64)
    kept = []

    def keep(_module, _inputs, outputs):
        outputs[-1].retain_grad()
        kept.append(outputs[-1])

    handle = network.backbone_maps.register_forward_hook(keep)
    logits = network(images)
    handle.remove()
    (logits[:, 1] - logits[:, 0]).sum().backward()
    c5 = kept[0]
    alpha = c5.grad.mean((2, 3), keepdim=True)
    expected = torch.relu((alpha * c5).sum(1)).detach()
    with torch.inference_mode():
        heatmap, head_logits = heatmaps(network.head, *network.backbone(images), positive=1)
    torch.testing.assert_close(head_logits, logits.detach())
    torch.testing.assert_close(heatmap, expected, rtol=1e-3, atol=1e-6 * float(expected.max()))


class KeepsSize(nn.Module):
    """A network without strides, so that pytorch-grad-cam's resizing has no effect."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.backbone = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))
        self.head = PooledHead(classes=3, gain=1000.0)  # so that its 1e-6 against division by zero is small

    def forward(self, x):
        c5 = self.backbone(x)
        return self.head(c5, c5.detach(), c5)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("grad++", "GradCAM"),
        ("gradcam++", "GradCAMPlusPlus"),
        ("layercam", "LayerCAM"),
        ("hirescam", "HiResCAM"),
    ],
)
def test_maps_equal_those_of_pytorch_grad_cam(method, name):
    try:
        pytorch_grad_cam = import_grad_cam()
    except ImportError as error:
        pytest.skip(f"grad-cam is not complete: {error}")
    network = KeepsSize().eval()
    network.head.forward = lambda c3, c4, c5: PooledHead.forward(network.head, c3.detach(), c4.detach(), c5)
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    targets = [lambda z: z[2] - torch.logsumexp(z[:2], 0)] * 3
    with getattr(pytorch_grad_cam, name)(model=network, target_layers=[network.backbone[-1]]) as reference:
        expected = torch.from_numpy(reference(input_tensor=images, targets=targets))
    with torch.no_grad():
        c5 = network.backbone(images)
    heatmap, _ = heatmaps(network.head, c5, c5, c5, 2, method)
    assert expected.amax((1, 2)).min() > 0.99  # its maps are scaled to 0..1, too
    torch.testing.assert_close(normalized(heatmap), expected.float(), atol=1e-4, rtol=0)
