"""The support vector machine of section 5.1: RBF kernel, C = 1, standardized features, with probabilities."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

_FOLDS = 5


class Svm:
    """RBF support vector machine with Platt scaling (Platt 1999).

    The kernel width is scikit-learn's "scale"; the paper specifies neither kernel nor C. The logistic function is
    fitted to decision values from cross-validation in 5 folds that keep the slices of a patient together, with
    scikit-learn's penalty instead of Platt's smoothed targets. Where a class has too few patients for folds, the
    decision values of the training slices are used.
    """

    def __init__(self, classes: int = 2, seed: int = 0) -> None:
        self.classes, self.seed = classes, seed

    def fit(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, weight: np.ndarray | None = None) -> Svm:
        """Learn from features (n, F), class indices (n,), patients (n,) and slice weights (n,).

        Raises:
            ValueError: only one class.
        """
        weight = np.ones(len(y)) if weight is None else weight
        self.machine_ = self._machine(x, y, weight)
        decisions = self._held_out_decisions(x, y, groups, weight)
        self.logistic_ = LogisticRegression().fit(decisions, y, sample_weight=weight)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, C); 0 for a class without training slices."""
        table = np.zeros((len(x), self.classes))
        if len(x):
            table[:, self.logistic_.classes_] = self.logistic_.predict_proba(_decisions(self.machine_, x))
        return table

    def _machine(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Pipeline:
        machine = make_pipeline(StandardScaler(), SVC(C=1.0, kernel="rbf", gamma="scale", random_state=self.seed))
        return machine.fit(x, y, svc__sample_weight=weight)

    def _held_out_decisions(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Decision values (n, 1), for C > 2 classes (n, C), each from a machine trained without the slice's patient."""
        folds = min(_FOLDS, *(len(np.unique(groups[y == label])) for label in np.unique(y)))
        values = _decisions(self.machine_, x)
        if folds < 2:
            return values
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed).split(x, y, groups)
        splits = [(train, test) for train, test in splits if len(test)]
        if any(set(y[train]) != set(y) for train, _ in splits):  # a fold lacks a class
            return values
        for train, test in splits:
            values[test] = _decisions(self._machine(x[train], y[train], weight[train]), x[test])
        return values


def _decisions(machine: Pipeline, x: np.ndarray) -> np.ndarray:
    values = machine.decision_function(x)
    return values[:, None] if values.ndim == 1 else values
