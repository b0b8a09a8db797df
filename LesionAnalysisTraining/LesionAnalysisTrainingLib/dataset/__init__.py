"""Labeled slices: whose they are, on which side of the split they stand, where they wait for their turn.

    collected = collect(["DATA"], TrainingConfig(), workers=4)     # folders -> samples with their splits
    print(*collected.report.lines(), sep="\\n")
    store = SliceStore(collected.samples, "RUN/pictures", config.preprocessing(), workers=4)
    store[0].gray_levels, store[0].lungs                                 # what augmentation starts from

``samples`` is a labeled slice; ``files`` knows which files hold slices; ``tables`` reads manifest.csv and
slice_labels.csv, ``classes`` names and orders the classes, ``layout`` makes samples of folders, and ``checks`` refuses
what must not be trained on. ``work`` spreads files over processes; ``inspection`` decodes every file once,
``duplicates`` finds what lies there twice, and ``collect`` puts these rooms together. ``prepared`` is a slice as
augmentation wants it, ``store`` keeps all of them in one file. Nothing here needs torch.
"""

from .collect import Collected, collect
from .layout import Layout, read_layout
from .prepared import Prepared, prepare_file
from .samples import TEST, TRAIN, VALIDATION, Sample, describe
from .store import SliceStore

__all__ = ["TEST", "TRAIN", "VALIDATION", "Collected", "Layout", "SliceStore", "Prepared", "Sample", "collect",
           "describe", "prepare_file", "read_layout"]  # fmt: skip
