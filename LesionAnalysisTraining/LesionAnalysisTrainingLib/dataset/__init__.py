"""Labeled slices: from folders to samples with patient, class and split, and the store of their lung regions.

    collected = collect(["DATA"], TrainingConfig(), workers=4)     # folders -> samples with their splits
    print(*collected.report.lines(), sep="\\n")
    store = SliceStore(collected.samples, "RUN/slices", config.preprocessing(), workers=4)
    store[0].gray_levels, store[0].lungs                           # the input of augmentation

Nothing here needs torch.
"""

from .collect import Collected, collect
from .layout import Layout, read_layout
from .prepared import prepare_file
from .samples import TEST, TRAIN, VALIDATION, Sample, describe
from .store import SliceStore

__all__ = ["TEST", "TRAIN", "VALIDATION", "Collected", "Layout", "Sample", "SliceStore", "collect", "describe",
           "prepare_file", "read_layout"]  # fmt: skip
