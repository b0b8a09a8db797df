"""All figures of slice diagnosis (tables 3 and 8): overall, by source and by class, with intervals over patients."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import weighted_metrics as weighted
from .bootstrap import LEVEL, Estimate, estimates, supported
from .curves import reliability
from .detection_metrics import THRESHOLDS


def diagnosis_figures(truth_labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray,
                      sources: np.ndarray, positive: int = 1, threshold: float = 0.5,
                      rounds: int = 400, seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """Figures of section 4.3.1 as plain values for JSON: None where one is undefined, never NaN.

    ``rows`` begins with the source "all"; each row has ``source``, ``slices``, ``patients``, ``positives``, ``metrics``
    and ``confusion`` (C, C) with the truth in rows. ``metrics`` has accuracy, sensitivity, specificity, precision, f1,
    auc, ap, brier and ece of the positive class against the rest, each with value, low and high. ``ece`` has no
    interval, because resampling inflates it. With three classes ``overall_accuracy`` and, under ``classes``, auc and
    ap of each against the rest follow.

    Args:
        truth_labels: (n,) class indices.
        probabilities: (n, C).
        patients: (n,) names, unique over all sources.
        sources: (n,) names.
        positive: index of the class that is looked for.
        threshold: least probability of a positive slice.

    Raises ValueError for arrays of different lengths, labels or a positive class that are none of the C, and
    probabilities that are not finite.
    """
    truth, table = np.asarray(truth_labels, int), np.asarray(probabilities, float)
    patients, sources = np.asarray(patients), np.asarray(sources)
    _check(truth, table, patients, sources, positive)
    rows = []
    for source in [None, *sorted(set(sources.tolist()))]:
        here = np.ones(len(truth), bool) if source is None else sources == source
        name = "all" if source is None else str(source)
        rows.append({"source": name, **_row(truth[here], table[here], patients[here], positive, threshold, rounds,
                                            seed)})  # fmt: skip
    return {"positive": int(positive), "threshold": float(threshold), "rounds": int(rounds), "level": LEVEL,
            "rows": rows}  # fmt: skip


def class_figures(truth_labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, positive: int,
                  threshold: float, rounds: int = 400, seed: int = 0) -> list[dict[str, Any]]:  # fmt: skip
    """For every class its ``slices`` and ``metrics`` (value, low, high), the other classes being the negatives.

    accuracy, sensitivity, specificity, precision and f1 are those of the class that ``decide`` gives, auc and ap
    those of the probability. Arguments as in ``diagnosis_figures``.
    """
    truth, table, patients = np.asarray(truth_labels, int), np.asarray(probabilities, float), np.asarray(patients)
    given = decide(table, positive, threshold)
    rows = []
    for c in range(table.shape[1]):
        here, called, score = truth == c, given == c, table[:, c]

        def statistics(w: np.ndarray, here=here, called=called, score=score) -> dict[str, np.ndarray]:
            return {**weighted.rates(here, called, w, 0.5), **weighted.areas(here, score, w)}

        found = supported(estimates(statistics, patients, rounds, seed), here, patients)
        rows.append({"class": c, "slices": int(here.sum()), "metrics": _plain(found)})
    return rows


def threshold_table(truth_labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Table 8: the fraction of each class that is still recognized at thresholds of 0.1 to 0.9.

    The paper does not define the accuracy of one type. Its figures stay the same up to 0.4 and then fall, as does the
    fraction of a type's slices whose largest probability is the type's and reaches the threshold: ``recognized``
    (C,). ``accuracy`` (C,) is that of the type against the rest by the same rule. NaN for a class without slices.
    """
    truth, table = np.asarray(truth_labels, int), np.asarray(probabilities, float)
    likeliest, classes = table.argmax(axis=1), range(table.shape[1])
    rows = []
    for threshold in THRESHOLDS:
        recognized, accuracy = [], []
        for c in classes:
            here, called = truth == c, (likeliest == c) & (table[:, c] >= threshold)
            recognized.append(float(weighted.divide(np.sum(called & here), np.sum(here))))
            accuracy.append(float(weighted.divide(np.sum(called == here), len(truth))))
        rows.append({"threshold": threshold, "recognized": recognized, "accuracy": accuracy})
    return rows


def decide(probabilities: np.ndarray, positive: int, threshold: float) -> np.ndarray:
    """The class given to each slice, (n,): of two by the threshold on the positive one, of more the likeliest."""
    table = np.asarray(probabilities, float)
    if table.shape[1] == 2:
        return np.where(table[:, positive] >= threshold, positive, 1 - positive)
    return table.argmax(axis=1)


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) counts, the truth in rows; zeros for no slices, which scikit-learn's function refuses."""
    flat = np.asarray(truth, int) * classes + np.asarray(predicted, int)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def most_confident_errors(truth: np.ndarray, probability: np.ndarray, threshold: float = 0.5,
                          count: int = 12) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Indices of up to ``count`` false positives and as many false negatives, the most confident first."""
    positive, probability = np.asarray(truth) > 0, np.asarray(probability, float)
    order = np.argsort(-probability, kind="stable")
    called = probability[order] >= threshold
    false_positives, false_negatives = order[called & ~positive[order]], order[~called & positive[order]]
    return false_positives[:count], false_negatives[::-1][:count]


def _check(truth: np.ndarray, table: np.ndarray, patients: np.ndarray, sources: np.ndarray, positive: int) -> None:
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"Probabilities are a table (slices, classes) of two classes or more, not {table.shape}.")
    if not len(truth) == len(table) == len(patients) == len(sources):
        raise ValueError(f"{len(truth)} labels, {len(table)} probabilities, {len(patients)} patients and "
                         f"{len(sources)} sources do not belong to the same slices.")  # fmt: skip
    if not 0 <= positive < table.shape[1] or not np.isin(truth, np.arange(table.shape[1])).all():
        raise ValueError(f"Labels and the positive class must be indices of {table.shape[1]} classes.")
    if not np.isfinite(table).all():
        raise ValueError("Probabilities must be finite numbers: the network returned NaN or infinity.")


def _row(truth: np.ndarray, table: np.ndarray, patients: np.ndarray, positive: int, threshold: float, rounds: int,
         seed: int) -> dict[str, Any]:  # fmt: skip
    binary, probability, classes = truth == positive, table[:, positive], table.shape[1]
    given = decide(table, positive, threshold)
    right = (given == truth).astype(float)

    def statistics(w: np.ndarray) -> dict[str, np.ndarray]:
        return {**weighted.rates(binary, probability, w, threshold), **weighted.areas(binary, probability, w),
                "brier": weighted.brier(binary, probability, w),
                "overall": weighted.divide(w @ right, w.sum(axis=1))}  # fmt: skip

    found = supported(estimates(statistics, patients, rounds, seed), binary, patients)
    overall = found.pop("overall")
    found["ece"] = Estimate(reliability(binary, probability).error, np.nan, np.nan)
    row = {
        "slices": len(truth), "patients": len(np.unique(patients)), "positives": int(binary.sum()),
        "metrics": _plain(found), "confusion": confusion_matrix(truth, given, classes).tolist(),
    }  # fmt: skip
    if classes > 2:
        row["overall_accuracy"] = overall.to_dict()
        row["classes"] = [_one_against_rest(truth == c, table[:, c], patients, c, rounds, seed) for c in range(classes)]
    return row


def _one_against_rest(truth: np.ndarray, probability: np.ndarray, patients: np.ndarray, number: int, rounds: int,
                      seed: int) -> dict[str, Any]:  # fmt: skip
    found = estimates(lambda w: weighted.areas(truth, probability, w), patients, rounds, seed)
    return {"class": number, "slices": int(truth.sum()), **_plain(supported(found, truth, patients))}


def _plain(found: dict[str, Estimate]) -> dict[str, dict[str, float | None]]:
    return {name: one.to_dict() for name, one in found.items()}
