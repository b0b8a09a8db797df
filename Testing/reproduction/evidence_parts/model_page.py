"""Which network the figures are of, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .page_text import counted, listed


def about(facts: Mapping[str, Any]) -> str:
    """A paragraph of a model's facts in ``evidence.json``."""
    fecnn, training = facts["fecnn"], facts["training"]
    parts = [name for name, used in (("feature pyramid", fecnn["fpn"]), ("ensemble fusion", fecnn["fusion"])) if used]
    parts += ["a lesion head that synthesized lesions taught"] if fecnn.get("lesion_head") else []
    top = listed(parts) or ("pooling and one linear layer" if fecnn.get("linear_top") else "dense layers")
    return (f"**{facts['id']}** ({facts['title']}; {facts['license']}), checksum `{facts['checksum'][:16]}`: "
            f"{fecnn['backbone']} with {top}, {counted(fecnn['classes'], 'class', 'classes')}, "
            f"{counted(facts['clusters'], 'lesion cluster')}, pictures of {facts['size']} px, positive from "
            f"{facts['threshold']:.2g} on. {budget(training)}")  # fmt: skip


def budget(training: Mapping[str, Any]) -> str:
    """How long it was trained, on how much, by which split."""
    config = training.get("config") or {}
    if not config.get("phases"):
        return "How it was trained, its card says."
    phases = listed(f"{counted(p['epochs'], 'epoch')} at {p['size']} px in batches of {p['batch']}"
                    for p in config["phases"])  # fmt: skip
    drawn = config.get("samples_per_epoch")
    amount = f"{drawn} slices an epoch" if drawn else "each epoch as many slices as there are for training"
    random = config.get("split") == "random"
    split = "slices split at random, whosoever they are" if random else "no patient on both sides of the split"
    slices = training.get("slices") or {}
    sizes = f" ({slices['train']} slices for training, {slices['val']} for validation)" if "val" in slices else ""
    return f"Trained for {phases}, {amount}, seed {config.get('seed', 0)}; {split}{sizes}."
