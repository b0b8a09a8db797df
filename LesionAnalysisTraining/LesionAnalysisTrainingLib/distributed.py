"""Training by several processes (``torchrun``), each on its part of every batch.

DistributedDataParallel averages the gradients. On GPUs, SyncBatchNorm takes its statistics over the whole batch. There
is none for the CPU: every process normalizes its own part, and rank 0's running statistics are kept. So the result
depends slightly on the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from LesionAnalysisLib.network.devices import choose_device
from torch import nn

Value = TypeVar("Value")
_TIMEOUT = timedelta(hours=12)  # the others wait while rank 0 prepares the slices


@dataclass(frozen=True)
class ProcessGroup:
    """This process among ``size``. Rank 0 reads the data, writes files and logs."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_rank0(self) -> bool:
        return self.rank == 0

    def from_rank0(self, work: Callable[[], Value]) -> Value:
        """What ``work`` returns on rank 0, on every process; an exception raised there is raised everywhere."""
        if self.size == 1:
            return work()
        result: list[Any] = [None, None]
        if self.is_rank0:
            try:
                result[0] = work()
            except BaseException as error:  # or the others would wait until the timeout
                result[1] = error
        dist.broadcast_object_list(result, src=0)
        if result[1] is not None:
            raise result[1]
        return result[0]

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all processes, one after the other."""
        if self.size == 1:
            return values
        lists: list[Any] = [None] * self.size
        dist.all_gather_object(lists, values)
        return [value for part in lists for value in part]

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network``, whose gradients are averaged over the processes (itself where there is one process only)."""
        if self.size == 1:
            return network
        if self.device.type != "cuda":
            return nn.parallel.DistributedDataParallel(network)
        return nn.parallel.DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(network), [self.device])

    def share_buffers(self, network: nn.Module) -> None:
        """Give every process rank 0's running statistics of batch norm."""
        if self.size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The processes that ``torchrun`` started, or this one alone.

    Raises:
        ValueError: the device is not available, or this machine has fewer GPUs than processes.
    """
    size, chosen = int(os.environ.get("WORLD_SIZE", "1")), choose_device(device)
    if size == 1:
        yield ProcessGroup(chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if chosen.index >= torch.cuda.device_count():
            raise ValueError(f"This machine has {torch.cuda.device_count()} GPUs: start as many processes on it.")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield ProcessGroup(chosen, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()
