"""Training FeCNN on folders of labeled slices (section 4.2) and measuring the model.

    from LesionAnalysisTrainingLib import TrainingConfig, train
    bundle = train("slices", "my-model", TrainingConfig(backbone="resnet18"))

``training`` orchestrates a run, described by ``training_config`` and ``training_run``; ``train_command`` is its entry
point for the command line and Slicer. ``dataset`` reads folders and splits them by patient.
``data_loading`` makes batches of views (``augmentation``, ``synthesis``) for ``trainer``, which uses ``losses``,
``optimization``, ``distributed`` and ``checkpoint``. ``model_learning`` learns what a model needs besides its weights
(``calibration``, ``lesion_space``), and ``finalize`` writes its folder with ``model_card`` and ``model_plots``.
``metrics`` and ``plots`` measure and draw; ``evaluate`` holds the commands that evaluate models.
"""

from importlib import import_module

_MODULES = {"TrainingConfig": "training_config", "Phase": "training_config", "Augmentation": "training_config",
            "train": "training", "check_data": "training"}  # fmt: skip
__all__ = sorted(_MODULES)


def __getattr__(name: str):
    """Names of the API, imported on first use, since torch takes seconds."""
    if name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
