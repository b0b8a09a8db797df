"""Device, precision and batch size of inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..choices import DEVICES
from .fecnn import FeCNN
from .folding import FoldedFeCNN

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_BATCH = 8  # more is not faster on a CPU, and takes 40 MB per slice of 512 x 512


def choose_device(name: str) -> torch.device:
    """``auto`` is a CUDA device if there is one, else Apple's, else the CPU; other names are torch's.

    Raises ValueError where torch does not know the device or it is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"There is no device called {name!r}: choose one of {', '.join(DEVICES)}.") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise ValueError(f"The device {name!r} is not available on this machine: choose auto or cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 where the processor supports it natively, else float32; ValueError for an unknown name."""
    if name in PRECISIONS:
        return PRECISIONS[name]
    if name != "auto":
        raise ValueError(f"There is no precision {name!r}: choose auto, {', '.join(PRECISIONS)}.")
    native = False
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)  # older ones emulate it
    elif device.type == "cpu":
        # private functions, hence the default: float32 is always right, only slower
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    return torch.bfloat16 if native else torch.float32


@dataclass
class Runner:
    """Runs a network on a device in batches; out of memory, it continues with smaller batches, then on the CPU."""

    network: FeCNN = field(repr=False)
    device: torch.device
    precision: str = "auto"
    batch_size: int | None = None
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._move_to(self.device)
        if self.batch_size is None and self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            self.batch_size = int(min(64, max(1, free * 0.6 // 120e6)))
        self.batch_size = self.batch_size or _CPU_BATCH

    @property
    def description(self) -> str:
        """Device and precision, as results record them."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return f"{name}, {str(self.dtype).removeprefix('torch.')}"

    def _move_to(self, device: torch.device) -> None:
        self.device, self.dtype = device, choose_precision(self.precision, device)
        self.folded = FoldedFeCNN(self.network, self.dtype).to(device)

    def batches(
        self, items: Sequence[Any], work: Callable[[FoldedFeCNN, torch.device, Sequence[Any]], Any]
    ) -> Iterator[tuple[Sequence[Any], Any]]:
        """``work`` on batches of ``items``: pairs of the batch and the result.

        Out of memory, the batch is halved and tried again; where not even one item fits, the network moves to the CPU.
        Both add a warning. Raises MemoryError where not even one item fits on the CPU.
        """
        done = 0
        while done < len(items):
            batch = items[done : done + self.batch_size]
            try:
                result = work(self.folded, self.device, batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._reduce(len(batch))
            else:
                done += len(batch)
                yield batch, result

    def _reduce(self, tried: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            self.batch_size = tried // 2
            self.warnings.append(f"Out of memory; batch size reduced to {self.batch_size}.")
        elif self.device.type != "cpu":
            self.warnings.append(f"Out of memory on {self.device}; continued on the CPU.")
            self._move_to(torch.device("cpu"))
            self.batch_size = _CPU_BATCH
        else:
            raise MemoryError("There is not enough memory for a single slice: close other programs and try again.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory did not suffice, of the CPU or another device."""
    text = str(error).lower()  # the CPU's allocator and MPS raise plain RuntimeErrors
    types = (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, types) or "out of memory" in text or "can't allocate memory" in text
