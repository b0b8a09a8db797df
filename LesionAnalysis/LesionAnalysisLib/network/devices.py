"""Where the network runs, in what precision and in what portions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .fecnn import FeCNN
from .folding import FoldedFeCNN

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_BATCH = 8  # more is not faster on a CPU, and costs 40 MB a slice of 512 x 512


def choose_device(name: str) -> torch.device:
    """``auto`` takes a CUDA device, else Apple's, else the CPU; other names as torch knows them.

    Raises:
        ValueError: torch does not know the device, or this machine does not have it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"There is no device called {name!r}: choose auto, cpu, cuda or mps.") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise ValueError(f"The device {name!r} is not available on this machine: choose auto or cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto`` takes bfloat16 where the processor computes in it, and float32 elsewhere."""
    if name != "auto":
        if name not in PRECISIONS:
            raise ValueError(f"There is no precision {name!r}: choose auto, {', '.join(PRECISIONS)}.")
        return PRECISIONS[name]
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)  # older ones emulate it
        return torch.bfloat16 if native else torch.float32
    if device.type == "cpu":
        # private, hence the default: without an answer, float32 is right and only slower
        asks = (getattr(torch.cpu, n, lambda: False) for n in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return torch.bfloat16 if any(ask() for ask in asks) else torch.float32
    return torch.float32


@dataclass
class Runner:
    """Holds the network on its device and retreats when memory runs out: smaller batches, then the CPU."""

    network: FeCNN = field(repr=False)
    device: torch.device
    precision: str = "auto"
    batch_size: int | None = None
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._place(self.device)
        if self.batch_size is None:
            self.batch_size = self._fitting_batch()

    @property
    def description(self) -> str:
        """Device and precision for the record."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return f"{name}, {str(self.dtype).removeprefix('torch.')}"

    def _place(self, device: torch.device) -> None:
        self.device, self.dtype = device, choose_precision(self.precision, device)
        self.folded = FoldedFeCNN(self.network, self.dtype).to(device)

    def _fitting_batch(self) -> int:
        if self.device.type != "cuda":
            return _CPU_BATCH
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(min(64, max(1, free * 0.6 // 120e6)))

    def batches(
        self, items: Sequence[Any], work: Callable[[FoldedFeCNN, torch.device, Sequence[Any]], Any]
    ) -> Iterator[tuple[Sequence[Any], Any]]:
        """``work`` on portions of ``items``: pairs of the portion and what came of it.

        Where the device's memory does not suffice the portion is halved and tried again; where not even
        one item fits, everything moves to the CPU. Both leave a warning.
        """
        done = 0
        while done < len(items):
            portion = items[done : done + self.batch_size]
            try:
                result = work(self.folded, self.device, portion)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._retreat(len(portion))
                continue
            done += len(portion)
            yield portion, result

    def _retreat(self, tried: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            self.batch_size = tried // 2
            self.warnings.append(f"Memory was short: continued with {self.batch_size} slices at a time.")
        elif self.device.type != "cpu":
            self.warnings.append(f"The memory of {self.device} is too small: continued on the CPU.")
            self._place(torch.device("cpu"))
            self.batch_size = _CPU_BATCH
        else:
            raise MemoryError("There is too little memory for a single slice: close other programs and try again.")


def _out_of_memory(error: BaseException) -> bool:
    # the CPU's allocator and MPS raise plain RuntimeErrors
    kinds = (MemoryError, getattr(torch, "OutOfMemoryError", MemoryError))
    text = str(error).lower()
    return isinstance(error, kinds) or "out of memory" in text or "can't allocate memory" in text
