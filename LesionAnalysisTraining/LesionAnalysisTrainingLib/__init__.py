"""Retraining FeCNN from folders of labeled slices (section 4.2), with evidence of how good the model is.

    from LesionAnalysisTrainingLib import TrainingConfig, train
    bundle = train("slices", "my-model", TrainingConfig(backbone="resnet18"))

``dataset`` reads folders, ``splits`` divides them by patient, ``augmentation`` and ``views`` show slices to the
network, ``trainer`` trains (with ``distributed`` and ``checkpoint``), ``lesion_space`` and ``calibration`` learn
what the model needs besides, ``evaluation``, ``plots`` and ``card`` are the evidence, ``finish`` puts the model
folder together, ``run`` is the way through all of it, ``cli`` the door for the command line and Slicer.
``evaluate`` measures models, ``compare`` trains the rivals of the paper (``baselines``) beside FeCNN.
"""

from importlib import import_module

_MODULES = {"TrainingConfig": "training_config", "Phase": "training_config", "Augmentation": "training_config",
            "train": "training", "check_data": "training"}  # fmt: skip
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    """Names of the API, loaded when asked for, since torch takes seconds."""
    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
