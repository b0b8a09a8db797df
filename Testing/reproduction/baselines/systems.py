"""The fourteen systems of tables 3 and 4, in the order of table 3, then of table 4."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .baseline import Baseline, Task
from .covidnet import CovidNetCt
from .decovnet import DeCoVNet
from .handcrafted import HandCrafted
from .network_baseline import FeCnnVariant, Network
from .wsnet import WsNet


@dataclass(frozen=True)
class System:
    """One row of tables 3 and 4; ``make`` creates the system for a task."""

    name: str
    description: str
    reference: str
    make: Callable[[Task], Baseline]

    @property
    def slug(self) -> str:
        """The name as used for folders and options: ``lbp-svm``."""
        return slug_of(self.name)


def slug_of(name: str) -> str:
    """Lowercase letters and digits joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


_LBP = "Zhang et al. 2004, LNCS 3338:179 (after Ojala et al. 2002)"
_PAPER = "Section 3.1 of the paper"


def _listed() -> list[System]:
    def hand(name: str, feature: str, classifier: str, description: str, reference: str) -> System:
        return System(name, description, reference, lambda task: HandCrafted(task, feature, classifier))

    def variant(name: str, description: str, reference: str, backbone: str | None = None, fpn: bool = False,
             fusion: bool = False) -> System:  # fmt: skip
        return System(name, description, reference, lambda task: FeCnnVariant(task, backbone, fpn, fusion))

    def net(name: str, make: Callable, description: str, reference: str) -> System:
        return System(name, description, reference, lambda task: Network(task, name, make))

    return [
        hand("LBP + SVM", "lbp", "svm", "59 uniform local binary patterns of the lungs, RBF kernel SVM", _LBP),
        hand("LBP + MLP", "lbp", "mlp", "59 uniform local binary patterns of the lungs, perceptron 25-10-C", _LBP),
        hand("Hist + SVM", "hist", "svm", "64 gray levels of the lungs, RBF kernel SVM", "Section 5.1 of the paper"),
        hand("Hist + MLP", "hist", "mlp", "64 gray levels of the lungs, perceptron 25-10-C",
             "Section 5.1 of the paper"),
        variant("Resnet50", "residual network, two dense ReLU layers", "He et al. 2016, CVPR", "resnet50"),
        variant("VGG16", "13 convolutions, two dense ReLU layers", "Simonyan and Zisserman 2014, arXiv:1409.1556",
             "vgg16"),
        variant("Xception", "separable convolutions, two dense ReLU layers", "Chollet 2017, CVPR", "xception"),
        net("WsNet", WsNet, "class maps at three scales, global max pooling", "Hu et al. 2020, IEEE Access 8:118869"),
        net("DeCoVNet", DeCoVNet, "2D form: residual blocks on slice and lungs",
            "Wang et al. 2020d, IEEE Trans. Med. Imag. 39:2615"),
        net("COVIDNet-CT", CovidNetCt, "a network with the published block design, not the original",
            "Gunraj et al. 2020, Front. Med. 7:608525"),
        variant("FeCNN", "feature pyramid and ensemble fusion: the paper's network", _PAPER, fpn=True, fusion=True),
        variant("FeCNN without FPN and fusion", "backbone and dense layers (table 4, row 1)", _PAPER),
        variant("FeCNN without fusion", "backbone and feature pyramid (table 4, row 2)", _PAPER, fpn=True),
        variant("FeCNN without FPN", "backbone and ensemble fusion (table 4, row 3)", _PAPER, fusion=True),
    ]  # fmt: skip


SYSTEMS: dict[str, System] = {system.name: system for system in _listed()}


def find_systems(names: Sequence[str] = ("all",)) -> list[System]:
    """Systems by name or slug, ignoring case, in the order of the tables; "all" for every one.

    Raises:
        ValueError: unknown name, or no name.
    """
    slugs = {system.slug: system for system in SYSTEMS.values()}
    wanted = {slug_of(name) for name in names} - {""}
    unknown = sorted(wanted - set(slugs) - {"all"})
    if unknown or not wanted:
        problem = f"Unknown system {unknown[0]!r}" if unknown else "No system was named"
        raise ValueError(f"{problem}: choose all or some of {', '.join(slugs)}.")
    return list(slugs.values()) if "all" in wanted else [s for slug, s in slugs.items() if slug in wanted]
