"""All figures of the diagnosis for a report: over everything and for each source, with intervals over patients."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import weighted
from .basic_metrics import confusion_matrix
from .bootstrap import Estimate, estimates, patients_by_class
from .reliability import reliability

_LEVEL = 0.95
_OF_POSITIVES = ("sensitivity", "precision", "f1", "auc", "ap")  # say nothing without several positive patients
_OF_NEGATIVES = ("specificity", "precision", "auc", "ap")


def diagnosis_figures(truth_labels: np.ndarray, probabilities: np.ndarray, patients: np.ndarray,
                      sources: np.ndarray, positive: int = 1, threshold: float = 0.5,
                      rounds: int = 400, seed: int = 0) -> dict[str, Any]:  # fmt: skip
    """Figures of section 4.3.1 as plain values for JSON: None where one is undefined, never NaN.

    ``rows`` begins with the source "all"; each row has ``source``, ``slices``, ``patients``, ``positives``, ``metrics``
    and ``confusion`` (C, C) with the truth in rows. ``metrics`` has accuracy, sensitivity, specificity, precision, f1,
    auc, ap, brier and ece of the positive class against the rest, each with value, low and high. ``ece`` has no
    interval, because redrawing slices adds to it. Of two classes the threshold decides in ``confusion``, of more the
    largest probability; then ``overall_accuracy`` and, under ``classes``, auc and ap of each against the rest follow.

    Args:
        truth_labels: (n,) class indices.
        probabilities: (n, C).
        patients: (n,) names, unique over all sources.
        sources: (n,) names.
        positive: index of the class that is looked for.
        threshold: probability from which on a slice is positive.
        rounds: redraws of the patients.
        seed: of the redraws.

    Raises:
        ValueError: arrays of different lengths, labels or a positive class that are none of the C, or
            probabilities that are not finite.
    """
    truth, table = np.asarray(truth_labels, int), np.asarray(probabilities, float)
    patients, sources = np.asarray(patients), np.asarray(sources)
    _check(truth, table, patients, sources, positive)
    rows = []
    for source in [None, *sorted(set(sources.tolist()))]:
        here = np.ones(len(truth), bool) if source is None else sources == source
        name = "all" if source is None else str(source)
        rows.append({"source": name, **_row(truth[here], table[here], patients[here], positive, threshold,
                                            (rounds, seed, _LEVEL))})  # fmt: skip
    return {"positive": int(positive), "threshold": float(threshold), "rounds": int(rounds), "level": _LEVEL,
            "rows": rows}  # fmt: skip


def most_wrong(truth: np.ndarray, probability: np.ndarray, threshold: float = 0.5,
               count: int = 12) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Indices of up to ``count`` false positives and as many false negatives, the surest mistakes first."""
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
        raise ValueError("Probabilities must be finite numbers: the network gave NaN or infinity.")


def _row(truth: np.ndarray, table: np.ndarray, patients: np.ndarray, positive: int, threshold: float,
         rule: tuple[int, int, float]) -> dict[str, Any]:  # fmt: skip
    binary, probability, classes = truth == positive, table[:, positive], table.shape[1]
    likeliest = table.argmax(axis=1)
    if classes == 2:
        likeliest = np.where(probability >= threshold, positive, 1 - positive)
    row = {
        "slices": len(truth), "patients": len(np.unique(patients)), "positives": int(binary.sum()),
        "metrics": _binary(binary, probability, patients, threshold, rule),
        "confusion": confusion_matrix(truth, likeliest, classes).tolist(),
    }  # fmt: skip
    if classes > 2:
        right = (likeliest == truth).astype(float)
        overall = estimates(lambda w: {"accuracy": weighted.divide(w @ right, w.sum(axis=1))}, patients, *rule)
        row["overall_accuracy"] = _several(overall, row["patients"])["accuracy"].to_dict()
        row["classes"] = [_one_against_rest(truth == c, table[:, c], patients, c, rule) for c in range(classes)]
    return row


def _binary(truth: np.ndarray, probability: np.ndarray, patients: np.ndarray, threshold: float,
            rule: tuple[int, int, float]) -> dict[str, dict[str, float | None]]:  # fmt: skip
    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            **weighted.rates(truth, probability, weights, threshold),
            **_areas(truth, probability, weights),
            "brier": weighted.brier(truth, probability, weights),
        }

    found = _supported(estimates(statistics, patients, *rule), truth, patients)
    found["ece"] = Estimate(reliability(truth, probability).error, np.nan, np.nan)
    return {name: one.to_dict() for name, one in found.items()}


def _one_against_rest(truth: np.ndarray, probability: np.ndarray, patients: np.ndarray, number: int,
                      rule: tuple[int, int, float]) -> dict[str, Any]:  # fmt: skip
    found = estimates(lambda weights: _areas(truth, probability, weights), patients, *rule)
    areas = {name: one.to_dict() for name, one in _supported(found, truth, patients).items()}
    return {"class": number, "slices": int(truth.sum()), **areas}


def _areas(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    counts = weighted.cumulative(truth, probability, weights)
    return {"auc": weighted.auc(*counts), "ap": weighted.average_precision(*counts)}


def _supported(found: dict[str, Estimate], truth: np.ndarray, patients: np.ndarray) -> dict[str, Estimate]:
    """Without the intervals that rest on a single patient."""
    positives, negatives = patients_by_class(truth, patients)
    found = _several(found, len(np.unique(patients)))
    if positives < 2:
        found |= _several({name: found[name] for name in _OF_POSITIVES if name in found}, positives)
    if negatives < 2:
        found |= _several({name: found[name] for name in _OF_NEGATIVES if name in found}, negatives)
    return found


def _several(found: dict[str, Estimate], patients: int) -> dict[str, Estimate]:
    """Without intervals where there are fewer than two patients."""
    return found if patients > 1 else {name: Estimate(one.value, np.nan, np.nan) for name, one in found.items()}
