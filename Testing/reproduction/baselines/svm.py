"""The support vector machine of section 5.1: RBF kernel, C = 1, scaled features, with probabilities."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

_FOLDS = 5


class Svm:
    """An RBF machine whose decision values become probabilities by a logistic, as Platt 1999 proposed.

    The kernel's width is scikit-learn's "scale", 1 / F for scaled features; the paper gives neither kernel nor C. The
    logistic is learnt on decision values of slices that the machine did not learn from, in 5 folds that keep the
    slices of a patient together; of Platt's recipe, scikit-learn's penalty on the slope replaces the smoothed targets.
    Where a class has too few patients for folds, the machine's own training slices serve.
    """

    def __init__(self, classes: int = 2, seed: int = 0) -> None:
        self.classes, self.seed = classes, seed

    def fit(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, weight: np.ndarray | None = None) -> Svm:
        """Learn from features (n, F), class indices (n,), patients (n,) and how much each slice counts (n,).

        Raises:
            ValueError: there is only one class.
        """
        weight = np.ones(len(y)) if weight is None else weight
        self.machine_ = self._machine(x, y, weight)
        self.logistic_ = LogisticRegression().fit(self._unseen(x, y, groups, weight), y, sample_weight=weight)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (n, C); 0 for a class that was not learnt."""
        table = np.zeros((len(x), self.classes))
        if len(x):
            table[:, self.logistic_.classes_] = self.logistic_.predict_proba(_decisions(self.machine_, x))
        return table

    def _machine(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Pipeline:
        machine = make_pipeline(StandardScaler(), SVC(C=1.0, kernel="rbf", gamma="scale", random_state=self.seed))
        return machine.fit(x, y, svc__sample_weight=weight)

    def _unseen(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Decision values (n, 1), of C > 2 classes (n, C), each from a machine without the slice's patient."""
        folds = min(_FOLDS, *(len(np.unique(groups[y == label])) for label in np.unique(y)))
        values = _decisions(self.machine_, x)
        if folds < 2:
            return values
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed).split(x, y, groups)
        splits = [(learn, test) for learn, test in splits if len(test)]
        if any(set(y[learn]) != set(y) for learn, _ in splits):  # decision values of other classes
            return values
        for learn, test in splits:
            values[test] = _decisions(self._machine(x[learn], y[learn], weight[learn]), x[test])
        return values


def _decisions(machine: Pipeline, x: np.ndarray) -> np.ndarray:
    values = machine.decision_function(x)
    return values[:, None] if values.ndim == 1 else values
