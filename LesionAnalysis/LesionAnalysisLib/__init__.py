"""Weakly supervised analysis of lesions like those of COVID-19 in chest CT, without 3D Slicer.

    from LesionAnalysisLib import AnalysisConfig, LesionAnalyzer, ModelBundle, read_ct
    analysis = LesionAnalyzer(ModelBundle.bundled(), AnalysisConfig()).analyze(read_ct("ct.nii.gz"))

The names in ``__all__`` are imported on first use, so that importing the package does not import torch.
"""

from importlib import import_module

__version__ = "0.1.0"
RESEARCH_NOTICE = (
    "Research use only. Not a medical device: not cleared or approved for diagnosis. "
    "Every finding must be confirmed by a qualified radiologist."
)

_MODULES = {
    "Analysis": "results",
    "AnalysisCancelled": "analyzer",
    "AnalysisConfig": "config",
    "LesionAnalyzer": "analyzer",
    "ModelBundle": "model.bundle",
    "CtVolume": "volume",
    "ct_from_array": "volume",
    "read_ct": "volume",
    "make_phantom": "phantom",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
