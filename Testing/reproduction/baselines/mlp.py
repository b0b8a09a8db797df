"""The three-layer perceptron of section 5.1: 25, 10 and C nodes, each with batch norm, linear layer and tanh."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from LesionAnalysisTrainingLib.metrics import auc
from torch import Tensor, nn

NODES = (25, 10)


class MlpNetwork(nn.Sequential):
    """From features (n, F) to logits (n, C): three times batch norm, linear, tanh, without the last tanh.

    Deviation from section 5.1: a tanh on the last layer would limit the logits to -1..1 and, with two classes, the
    probability to .12 to .88.
    """

    def __init__(self, features: int, classes: int) -> None:
        widths = (features, *NODES, classes)
        layers: list[nn.Module] = []
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.BatchNorm1d(inputs), nn.Linear(inputs, outputs), nn.Tanh()]
        super().__init__(*layers[:-1])


class Mlp:
    """``MlpNetwork`` trained with Adam and an L2 penalty of 0.01; keeps the epoch with the best validation AUC.

    Not specified in the paper: the penalty applies to the weights of the linear layers as weight decay in the gradient;
    batches of 64, learning rate 1e-3, and 150 epochs, since the networks' number of epochs would hardly train it. The
    features are standardized first, because the epsilon of the first batch norm would dominate values around 0.001.
    """

    def __init__(self, classes: int = 2, positive: int = 1, epochs: int = 150, batch: int = 64, rate: float = 1e-3,
                 penalty: float = 0.01, seed: int = 0) -> None:  # fmt: skip
        self.classes, self.positive, self.epochs, self.batch = classes, positive, epochs, batch
        self.rate, self.penalty, self.seed = rate, penalty, seed

    def fit(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None,
            validation: tuple[np.ndarray, np.ndarray] | None = None) -> Mlp:  # fmt: skip
        """Learn from features (n, F), class indices (n,) and slice weights (n,).

        Args:
            validation: features and class indices that select the epoch; None keeps the last.

        Raises:
            ValueError: fewer than two slices, too few for batch norm.
        """
        if len(x) < 2:
            raise ValueError("A perceptron with batch norm needs at least two training slices.")
        self.mean_, self.scale_ = x.mean(0), np.where(x.std(0) > 1e-12, x.std(0), 1.0)
        weight = np.ones(len(y)) if weight is None else weight
        data = self._scaled(x), torch.tensor(y), torch.tensor(weight, dtype=torch.float32)
        torch.manual_seed(self.seed)
        self.network_ = MlpNetwork(x.shape[1], self.classes)
        optimizer = torch.optim.Adam(self._groups(), lr=self.rate)
        best, self.epoch_, kept = None, self.epochs, None
        for epoch in range(self.epochs):
            self._epoch(optimizer, data, np.random.default_rng((self.seed, epoch)).permutation(len(x)))
            if validation is not None:
                figures = self._figures(*validation)
                if best is None or figures > best:
                    best, self.epoch_, kept = figures, epoch + 1, copy.deepcopy(self.network_.state_dict())
        if kept is not None:
            self.network_.load_state_dict(kept)
        self.network_.eval()
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, C)."""
        if not len(x):
            return np.zeros((0, self.classes))
        return self._logits(x).double().softmax(1).numpy()

    def _groups(self) -> list[dict]:
        linear = [layer.weight for layer in self.network_ if isinstance(layer, nn.Linear)]
        others = [p for p in self.network_.parameters() if all(p is not w for w in linear)]
        return [{"params": linear, "weight_decay": self.penalty}, {"params": others}]

    def _epoch(self, optimizer: torch.optim.Optimizer, data: tuple[Tensor, Tensor, Tensor], order: np.ndarray) -> None:
        self.network_.train()
        for start in range(0, len(order), self.batch):
            part = order[start : start + self.batch]
            if len(part) < 2:  # batch norm
                continue
            x, y, weight = (tensor[part] for tensor in data)
            loss = (weight * F.cross_entropy(self.network_(x), y, reduction="none")).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _figures(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """Validation AUC and negative loss, the trainer's criteria."""
        logits = self._logits(x)
        area = auc(y == self.positive, logits.softmax(1)[:, self.positive].numpy())
        return round(area, 4) if area == area else 0.0, -float(F.cross_entropy(logits, torch.tensor(y)))

    @torch.inference_mode()
    def _logits(self, x: np.ndarray) -> Tensor:
        self.network_.eval()
        return self.network_(self._scaled(x))

    def _scaled(self, x: np.ndarray) -> Tensor:
        return torch.tensor((x - self.mean_) / self.scale_, dtype=torch.float32)
