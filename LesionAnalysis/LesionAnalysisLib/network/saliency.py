"""Grad++ (section 3.2.1) and other saliency rules: activations and gradients -> lesion activation heatmap.

Each rule takes the activations ``A`` of the backbone's last block and the gradients ``G`` of the positive class's
log-odds with respect to them, and returns one heatmap per slice. Normalization and regions: see ``lesions.regions``.

    heatmap, logits = heatmaps(network.head, *network.backbone(images), positive=1)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Rule = Callable[[Tensor, Tensor], Tensor]  # (N, K, h, w), (N, K, h, w) -> (N, h, w) >= 0


def log_odds(logits: Tensor, positive: int) -> Tensor:
    """Log-odds of the positive class against all others together: z_c - logsumexp(z_others).

    Their gradient gives the same map as the probability's, which is p(1 - p) times it and rounds to zero at p = 1.0.

    Args:
        logits: (N, C) before the softmax, C >= 2.
        positive: index of the positive class, counted from 0 (negative: from the end).

    Returns (N,), at least float32. Raises ValueError for fewer than two classes, or no such class.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(f"Log-odds need logits (N, C), C >= 2 classes, not of shape {tuple(logits.shape)}.")
    classes = logits.shape[1]
    if not -classes <= positive < classes:
        raise ValueError(f"There is no class {positive} among {classes}: choose one of 0 to {classes - 1}.")
    positive %= classes
    logits = _wide(logits)
    others = torch.cat([logits[:, :positive], logits[:, positive + 1 :]], dim=1)  # (N, C - 1)
    return logits[:, positive] - torch.logsumexp(others, dim=1)


def grad_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad++, equations 6 and 7: ReLU of the channels weighted by the mean of their gradients."""
    a, g = _maps(activations, gradients)
    weights = g.mean(dim=(2, 3), keepdim=True)  # alpha, eq. 6: (N, K, 1, 1)
    return (weights * a).sum(dim=1).relu()  # eq. 7


def gradcam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay 2018): the positive gradients, weighted cell by cell.

    The score is taken as exp(log-odds), as its authors do, for which the second and third derivatives
    are powers of the first: alpha = g^2 / (2 g^2 + g^3 sum(A)).
    """
    a, g = _maps(activations, gradients)
    # A common factor does not matter, as maps are normalized later: with g scaled to at most 1, g^2 cannot underflow
    # to an alpha of 0/0. Only g * sum(A) must keep its size, hence `top` once more below.
    top = g.abs().amax(dim=(1, 2, 3), keepdim=True)
    unit = g / top.clamp_min(torch.finfo(g.dtype).tiny)
    below = 2 + unit * top * a.sum(dim=(2, 3), keepdim=True)  # alpha = 1 / (2 + g sum(A)) where g != 0
    alpha = torch.where((unit != 0) & (below != 0), 1 / below, torch.zeros_like(below))
    weights = (alpha * unit.relu()).sum(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    return (weights * a).sum(dim=1).relu()


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM (Jiang 2021): each cell weighted by its own positive gradient."""
    a, g = _maps(activations, gradients)
    return (g.relu() * a).sum(dim=1).relu()


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM (Draelos 2020): each cell weighted by its own gradient."""
    a, g = _maps(activations, gradients)
    return (g * a).sum(dim=1).relu()


def normgrad(activations: Tensor, gradients: Tensor) -> Tensor:
    """NormGrad (Rebuffi 2020): product of the channel norms of activation and gradient."""
    a, g = _maps(activations, gradients)
    return a.norm(dim=1) * g.norm(dim=1)


def cam(activations: Tensor, class_weights: Tensor) -> Tensor:
    """CAM (Zhou 2016): channels weighted by the linear layer that follows global average pooling.

    ``class_weights`` (K,) are the positive class's row of that layer, less the others' row if wanted.
    """
    a, w = _maps(activations, class_weights)
    return (w[:, None, None] * a).sum(dim=1).relu()


SALIENCY: dict[str, Rule] = {
    "grad++": grad_pp, "gradcam++": gradcam_plus_plus, "layercam": layercam, "hirescam": hirescam,
    "normgrad": normgrad,
}  # fmt: skip


def heatmaps(
    head: Callable[[Tensor, Tensor, Tensor], Tensor], c3: Tensor, c4: Tensor, c5: Tensor, positive: int,
    method: str = "grad++", fuse_scales: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Lesion activation heatmaps of a batch, by a forward and backward pass through the head alone.

    The feature maps may come from ``torch.inference_mode()`` or ``no_grad()``, and this may be called inside either.
    No hook is set, and neither the inputs nor the head's parameters keep a gradient.

    Args:
        head: maps (C3, C4, C5) to logits (N, C), such as ``FeCNN.head``; in evaluation mode.
        c3, c4, c5: feature maps of the backbone, (N, K_i, h_i, w_i), any floating type.
        positive: index of the positive class.
        method: a key of ``SALIENCY``.
        fuse_scales: return the geometric mean of the heatmaps of C4 and C5, which is high where both are.

    Returns:
        heatmap: (N, h, w) float32 >= 0, of C5's height and width, or of C4's with ``fuse_scales``; not normalized.
        logits: (N, C) of the head, detached.

    Raises ValueError for an unknown method or class.
    """
    if method not in SALIENCY:
        raise ValueError(f"There is no saliency method {method!r}: choose one of {', '.join(SALIENCY)}.")
    with torch.inference_mode(False), torch.enable_grad():
        # inference tensors cannot be saved for a backward pass
        c3, c4, c5 = (c.clone() if c.is_inference() else c.detach() for c in (c3, c4, c5))
        leaves = (c4, c5) if fuse_scales else (c5,)
        for leaf in leaves:
            leaf.requires_grad_(True)
        logits = head(c3, c4, c5)
        # Slices do not interact in evaluation mode, so the gradient of the sum holds that of every slice.
        # `grad`, unlike `backward`, leaves the `.grad` of the head's parameters alone.
        *others, gradients = torch.autograd.grad(log_odds(logits, positive).sum(), leaves, materialize_grads=True)
        heatmap = SALIENCY[method](c5.detach(), gradients)
        if fuse_scales:
            heatmap = geometric_mean(SALIENCY[method](c4.detach(), others[0]), heatmap)
        return heatmap, logits.detach()


def geometric_mean(fine: Tensor, coarse: Tensor) -> Tensor:
    """Geometric mean of two maps (N, h, w), each as a share of its maximum, on the grid of ``fine``.

    Where ``fine`` is all zero, as that of a head without C4, the result is ``coarse``.
    """
    coarse = F.interpolate(coarse[:, None], fine.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    fine, coarse = (m / m.amax((1, 2), keepdim=True).clamp_min(torch.finfo(m.dtype).tiny) for m in (fine, coarse))
    empty = (fine == 0).all(2).all(1)[:, None, None]
    return torch.where(empty, coarse, (fine * coarse).sqrt())


def _wide(tensor: Tensor) -> Tensor:
    """At least float32: in the 8 bits of bfloat16, a sum over 2048 channels would be too coarse.

    The rules multiply and sum rather than call einsum or matmul, which autocast would compute in bfloat16.
    """
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _maps(activations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    return _wide(activations.detach()), _wide(weights.detach())
