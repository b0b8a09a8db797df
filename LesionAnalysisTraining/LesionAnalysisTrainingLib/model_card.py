"""MODEL_CARD.md of a trained model: Markdown from the facts that ``finalize`` measured, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from LesionAnalysisLib.text import format_duration

_METRICS = (("accuracy", "accuracy"), ("auc", "AUC"), ("ap", "AP"), ("sensitivity", "sensitivity"),
            ("specificity", "specificity"), ("f1", "F1"))  # fmt: skip
_ROLES = (("train", "training", "trained the weights; lesions and input statistics come from it"),
          ("val", "validation", "development: chose {chosen}"),
          ("test", "test", "untouched by any selection"))  # fmt: skip


def model_card(model_id: str, facts: Mapping[str, Any]) -> str:
    """The card of the model ``model_id`` from the content of ``metrics.json``."""
    sections = [_head(model_id, facts), _listed("Warnings", facts["warnings"]), _data(facts), _recipe(facts),
                _listed("Deviations from the paper", facts["deviations"]), _performance(facts), _probabilities(facts),
                _clusters(facts), _limits(facts), f"## License\n\n{facts['license']}."]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(model_id: str, facts: Mapping[str, Any]) -> str:
    others = " and ".join(name for name in facts["classes"] if name != facts["disease"])
    return f"""# {model_id}

{facts["title"]}: classifies slices as {facts["disease"]} or {others} and maps lesions in positive slices. It was
trained with slice-level labels only, without manually segmented lesions.

**Research use only.** Not a medical device, not validated for diagnosis, not to be used for decisions about
patients."""


def _listed(title: str, sentences: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"* {sentence}" for sentence in sentences) if sentences else ""


def _data(facts: Mapping[str, Any]) -> str:
    counts = "\n".join(f"    {line}" for line in facts["data"]["table"])
    rows = "\n".join(f"| {name} | {facts['slices'][split]} | {facts['patients'][split]} | "
                     f"{role.format(chosen=_chosen(facts) + ' and study rule')} |"
                     for split, name, role in _ROLES if facts["slices"][split])  # fmt: skip
    split = "All slices of a patient are in one split."
    if facts["config"]["split"] == "random":
        split = ("**Slices were split at random, so that slices of a patient are in several splits (slice-level split "
                 "leakage): the figures below are optimistically biased.**")  # fmt: skip
    return f"""## Data

{split}
Left out: {facts["data"]["counts"]["left_out"]}. The table `*.slices.csv` beside this folder lists every slice.

| split | slices | patients | role |
|---|---:|---:|---|
{rows}

Slices and patients by split and source:

{counts}"""


def _recipe(facts: Mapping[str, Any]) -> str:
    c = facts["config"]
    phases = "; ".join(f"{_count(p['epochs'], 'epoch')} at {p['size']} px, batch {p['batch']}"
                       + (f", {p['rate']:g} times the learning rate" if p["rate"] != 1 else "")
                       for p in c["phases"])  # fmt: skip
    start = f"ImageNet weights (`{facts['start_weights']}`)" if facts["start_weights"] else "random weights"
    parts = [name for name, used in (("feature pyramid", c["fpn"]), ("ensemble fusion", c["fusion"]),
                                     ("lesion head", c["lesion_head"])) if used]  # fmt: skip
    top = " and ".join(parts) or ("linear top" if c["linear_top"] else "dense top")
    order = f"class-balanced sampling, sources of n slices in proportion to n^{c['source_power']:g}"
    kept = f"epoch {facts['chosen_epoch']} of {len(facts['history'])}"
    omega = "" if not facts["omega"] else f" Omega: {', '.join(f'{w:.2f}' for w in facts['omega'])}."
    preserved = facts["start_weights"] or c["recipe"] == "paper"  # as in ``optimization.make_optimizer``
    backbone_rate = c["learning_rate"] if preserved else max(c["learning_rate"], c["head_learning_rate"])
    # as in ``optimization.make_optimizer``: without weight decay, AdamW is Adam
    optimizer = "AdamW" if c["weight_decay"] else "Adam"
    regularization = "".join(f", {name} {c[key]:g}" for key, name in (
        ("weight_decay", "weight decay"), ("clip_norm", "gradients clipped at a norm of"),
        ("label_smoothing", "label smoothing"), ("dropout", "dropout"), ("average", "running average of the weights"),
    ) if c[key])  # fmt: skip
    return f"""## Recipe

Recipe `{c["recipe"]}`: {c["backbone"]} from {start}, {top}. {phases}; \
{order if c["balance"] else "every slice once per epoch"}; {optimizer} {backbone_rate:g} (backbone) and \
{c["head_learning_rate"]:g} (head), {c["schedule"]} learning rate{regularization}. Selected checkpoint: {kept}.{omega}

Trained in {format_duration(facts["training_s"])} on {facts["device"]} \
({_count(facts["processes"], "process", "processes")}), torch {facts["torch"]}, LesionAnalysis {facts["version"]}, \
seed {c["seed"]}. All settings are in `config.json`."""


def _performance(facts: Mapping[str, Any]) -> str:
    parts = [f"## Performance\n\nSlices outside the training; in parentheses 95 % confidence intervals (patient-level "
             f"bootstrap). A slice is called {facts['disease']} from a probability of {facts['threshold']:.3f} on.",
             _table("validation", facts["validation"])]  # fmt: skip
    if facts["test"]:
        parts.append(_table("test", facts["test"]))
    parts.append(
        f"Figures on the validation slices are optimistically biased, since these chose {_chosen(facts)} and study rule"
        + ("; the test slices chose nothing." if facts["test"] else ". There is no test set.")
    )
    if facts["plots"]:
        parts.append("`plots/` shows training, ROC, precision-recall, calibration, confusion and confident errors.")
    return "\n\n".join(parts)


def _chosen(facts: Mapping[str, Any]) -> str:
    """What the validation slices chose."""
    return ("epoch, " if facts["config"]["keep_best"] else "") + "temperature, threshold"


def _table(name: str, figures: Mapping[str, Any]) -> str:
    lines = [f"| {name} | slices | patients | {' | '.join(title for _, title in _METRICS)} |",
             "|---|---:|---:|" + "---|" * len(_METRICS)]  # fmt: skip
    rows: Sequence[Mapping[str, Any]] = figures["rows"]
    for row in rows if len(rows) != 2 else rows[:1]:  # one source: its row would repeat the first
        cells = " | ".join(_interval(row["metrics"].get(key)) for key, _ in _METRICS)
        source = " ".join(row["source"].split()).replace("|", "\\|")
        lines.append(f"| {source} | {row['slices']} | {row['patients']} | {cells} |")
    return "\n".join(lines)


def _probabilities(facts: Mapping[str, Any]) -> str:
    error, chance = facts["calibration_error"], facts["study"]["chance"]
    correction = "; it is not corrected for the number of slices."
    if chance:
        correction = (f", corrected for the number of slices: of n > 3 slices, {chance:.2f} (1 - 3 / n) is subtracted. "
                      f"95 % of studies without the disease stay below {chance:.2f} by chance.")  # fmt: skip
    return f"""## Probabilities, threshold, study score

Logits are divided by the temperature {facts["temperature"]:.2f}, fitted on validation slices; the expected calibration
error there is {_number(error["before"])} before and {_number(error["after"])} after. The threshold, for slices and
studies, is {facts["threshold"]:.3f}, which has the best balanced accuracy there. A study's log-odds are the mean of the
upper tenth of its slices' (at least three){correction}

Storing the weights in 8 bits changes a probability by at most {facts["stored_weights_change"]:.4f}. Inputs are reported
as out of distribution if they lie farther from the training data than 99 % of the validation slices."""


def _clusters(facts: Mapping[str, Any]) -> str:
    features, density = facts["clusters"]["features"], facts["clusters"]["density"]
    rows = [f"| {k} | {lesions} | {' / '.join(f'{d:.0f}' for d in center)} |" for k, (lesions, center) in
            enumerate(zip(density["lesions"], density["centers"], strict=True), start=1)]  # fmt: skip
    given = facts["config"]["clusters"] is not None
    chosen = "K was given" if given else "K is chosen by the elbow method"
    sheets = "; `plots/features_*.png` and `plots/density_*.png` show typical lesions" if facts["plots"] else ""
    return f"""## Lesion clusters

k-means on lesions in training slices with the disease; {chosen}. Clusters are not proven lesion types{sheets}.

The preset `paper` clusters by the network's activations at the peaks of its lesions: \
{_count(features["count"], "cluster")} of {", ".join(map(str, features["lesions"]))} \
{"lesion" if features["lesions"] == [1] else "lesions"}.

The preset `enhanced` clusters its lesions by density, in percent of the way from air to soft tissue:

| cluster | lesions | 10th / 25th / 50th / 75th / 90th percentile |
|---|---:|---|
""" + "\n".join(rows)


def _limits(facts: Mapping[str, Any]) -> str:
    sources = "sources" if len(facts["validation"]["rows"]) > 2 else "source"
    return f"""## Limits

* Measured on the {sources} above only; performance on other scanners, windows and populations is unknown.
* Diseases that are not among the training classes may be called {facts["disease"]}.
* Maps show which regions contribute to the probability, not the exact extent of lesions."""


def _interval(value: Any) -> str:
    if not value or value.get("value") is None:
        return "-"
    text = f"{value['value']:.3f}"
    if value.get("low") is None or value.get("high") is None:
        return text
    return f"{text} ({value['low']:.3f} to {value['high']:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
