"""MODEL_CARD.md of a trained model: markdown from the figures that ``finish`` measured, and from nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from LesionAnalysisLib.text import duration

_METRICS = (("accuracy", "accuracy"), ("auc", "AUC"), ("ap", "AP"), ("sensitivity", "sensitivity"),
            ("specificity", "specificity"), ("f1", "F1"))  # fmt: skip


def model_card(model_id: str, facts: Mapping[str, Any]) -> str:
    """The card of the model ``model_id`` from the content of ``metrics.json``."""
    sections = [_head(model_id, facts), _warnings(facts), _data(facts), _recipe(facts), _figures(facts), _use(facts),
                _clusters(facts), _limits(facts), f"## License\n\n{facts['license']}."]  # fmt: skip
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(model_id: str, facts: Mapping[str, Any]) -> str:
    others = " and ".join(name for name in facts["classes"] if name != facts["disease"])
    return f"""# {model_id}

{facts["title"]}: tells {facts["disease"]} from {others} slice by slice, with Grad++ lesion maps
and {_count(facts["clusters"]["count"], "lesion cluster")}. No lesion was drawn for its training: slices carry one label
each.

**Research use only.** Not a medical device, not validated for diagnosis, not to be used for decisions about
patients."""


def _warnings(facts: Mapping[str, Any]) -> str:
    if not facts["warnings"]:
        return ""
    return "## Warnings\n\n" + "\n".join(f"* {sentence}" for sentence in facts["warnings"])


def _data(facts: Mapping[str, Any]) -> str:
    table = facts["data"].get("table") or []
    counts = "\n".join(f"    {line}" for line in table)
    split = "Slices of one patient lie on one side of the split."
    if facts["config"]["split"] == "random":
        split = ("**Slices were split at random: those of one patient lie on both sides, and the figures below are too "
                 "good.**")  # fmt: skip
    return f"""## Training data

{split} Left out: {facts["data"]["counts"]["left_out"]}. The table `*.slices.csv` that was written beside this folder
names every slice.

{counts}"""


def _recipe(facts: Mapping[str, Any]) -> str:
    c = facts["config"]
    phases = "; ".join(f"{_count(p['epochs'], 'epoch')} at {p['size']} px, batch {p['batch']}, rates x {p['rate']:g}"
                       for p in c["phases"])  # fmt: skip
    start = f"ImageNet weights (`{facts['start_weights']}`)" if facts["start_weights"] else "random weights"
    parts = [name for name, used in (("feature pyramid", c["fpn"]), ("ensemble fusion", c["fusion"])) if used]
    top = " and ".join(parts) or ("linear top" if c["linear_top"] else "plain top")
    order = "classes equally often, sources by the power {:g} of their size".format(c["source_power"])
    stopped = f"the network of epoch {facts['chosen_epoch']} of {len(facts['history'])} trained ones"
    omega = "" if not facts["omega"] else f" Omega: {', '.join(f'{w:.2f}' for w in facts['omega'])}."
    return f"""## Recipe

Recipe `{c["recipe"]}`: {c["backbone"]} from {start}, {top}. {phases}; \
{order if c["balance"] else "every slice once an epoch"}; AdamW {c["learning_rate"]:g} (backbone) and \
{c["head_learning_rate"]:g} (head), {c["schedule"]} rate, weight decay {c["weight_decay"]:g}, label smoothing \
{c["label_smoothing"]:g}, dropout {c["dropout"]:g}, running average of the weights {c["average"]:g}. \
Kept: {stopped}.{omega}

Trained in {duration(facts["training_s"])} on {facts["device"]} \
({_count(facts["processes"], "process", "processes")}), torch {facts["torch"]}, LesionAnalysis {facts["version"]}, \
seed {c["seed"]}. All settings are in `config.json`."""


def _figures(facts: Mapping[str, Any]) -> str:
    tables = [f"## How good it is\n\nSlices of patients that were not trained on; in parentheses 95 % intervals over "
              f"patients (bootstrap). A slice is called {facts['disease']} from a probability of "
              f"{facts['threshold']:.2f} on."]  # fmt: skip
    tables.append(_table("validation", facts["validation"]))
    if facts["test"]:
        tables.append(_table("test", facts["test"]))
    tables.append(
        "The validation slices also chose the epoch, the temperature and the threshold, so their figures are "
        "somewhat too good" + ("; the test slices chose nothing." if facts["test"] else ". There is no test set.")
    )
    if facts["plots"]:
        tables.append("`plots/` shows the training, ROC, precision-recall, calibration and confusion.")
    return "\n\n".join(tables)


def _table(name: str, figures: Mapping[str, Any]) -> str:
    lines = [f"| {name} | slices | patients | {' | '.join(title for _, title in _METRICS)} |",
             "|---|---:|---:|" + "---|" * len(_METRICS)]  # fmt: skip
    rows: Sequence[Mapping[str, Any]] = figures["rows"]
    for row in rows if len(rows) != 2 else rows[:1]:  # one source: its row would repeat the first
        cells = " | ".join(_interval(row["metrics"].get(key)) for key, _ in _METRICS)
        source = " ".join(row["source"].split()).replace("|", "\\|")
        lines.append(f"| {source} | {row['slices']} | {row['patients']} | {cells} |")
    return "\n".join(lines)


def _use(facts: Mapping[str, Any]) -> str:
    error = facts["calibration_error"]
    return f"""## Probabilities

Logits are divided by the temperature {facts["temperature"]:.2f}, fitted on validation; expected calibration error \
there {_number(error["before"])} before and {_number(error["after"])} after. \
The threshold {facts["threshold"]:.2f} has the best balanced accuracy there. \
Storing the weights in 8 bits moves a probability by at most {facts["stored_weights_change"]:.4f}."""


def _clusters(facts: Mapping[str, Any]) -> str:
    clusters = facts["clusters"]
    chosen = "given" if clusters["given"] else "by the elbow of the inertias"
    sizes = ", ".join(map(str, clusters["lesions"]))
    names = "`plots/elbow.png`, `plots/lesion_space.png` and the sheets `plots/cluster_1.png`, ..."
    sheets = f"; {names} are there to judge them by" if facts["plots"] else ""
    return f"""## Lesion clusters

k-means on the activations at the peaks of the lesions of training slices: K = {clusters["count"]} ({chosen}), with \
{sizes} lesions. Their numbers carry no medical meaning{sheets}.{_by_density(clusters.get("by_density"))}"""


def _by_density(clusters: Sequence[Mapping[str, Any]] | None) -> str:
    if not clusters:
        return ""
    rows = [f"| {k} | {one['lesions']} | {' / '.join(f'{d:.0f}' for d in one['density'])} |"
            for k, one in enumerate(clusters, start=1)]  # fmt: skip
    return """

The preset `enhanced` takes as many clusters of the same lesions by their density, in percent of the way from air to \
soft tissue:

| cluster | lesions | 10th / 25th / 50th / 75th / 90th percentile |
| --- | --- | --- |
""" + "\n".join(rows)


def _limits(facts: Mapping[str, Any]) -> str:
    source = "sources" if len(facts["validation"]["rows"]) > 2 else "source"
    return f"""## Limits

* Measured on the {source} above only; other scanners, windows and populations are unknown.
* The other classes are what the training data hold; diseases that are not among them may be called {facts["disease"]}.
* The map says where the network looked, not where a lesion ends."""


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
