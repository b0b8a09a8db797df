"""Several processes as one: who is who, and what makes their result that of a single process.

Started by ``torchrun``, every process trains on its part of each batch, and DistributedDataParallel averages the
gradients. Three more things make the result independent of the number of processes: batch norm takes its
statistics over the whole batch, dropout draws its mask for the whole batch, and views are seeded by their place
in the epoch (see ``views``).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from LesionAnalysisLib.network.devices import choose_device
from torch import Tensor, nn

Value = TypeVar("Value")
_PATIENCE = timedelta(hours=12)  # others wait while the leader prepares the slices


@dataclass(frozen=True)
class Team:
    """This process among ``size``; ``leader`` reads the data, writes files and speaks."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leader(self) -> bool:
        return self.rank == 0

    def from_leader(self, work: Callable[[], Value]) -> Value:
        """What ``work`` returns to the leader, for all; an exception that it raises there is raised everywhere."""
        if self.size == 1:
            return work()
        box: list[Any] = [None, None]
        if self.leader:
            try:
                box[0] = work()
            except BaseException as error:  # the others must not wait for ever
                box[1] = error
        dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise box[1]
        return box[0]

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all processes, dealt out like cards before, in the order before the dealing."""
        if self.size == 1:
            return values
        hands: list[Any] = [None] * self.size
        dist.all_gather_object(hands, values)
        return [hands[i % self.size][i // self.size] for i in range(sum(map(len, hands)))]

    def mean(self, value: float) -> float:
        """Mean over all processes, which it makes wait for one another."""
        return sum(self.gather([value])) / self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """``network`` made to train as one with the other processes' (itself where there are none)."""
        share_dropout(network, self)
        if self.size == 1:
            return network
        share_batch_norm(network, self)
        devices = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the option's new name is not in older versions
            return nn.parallel.DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


@contextmanager
def team_of(device: str) -> Iterator[Team]:
    """The team that ``torchrun`` set up in the environment, or one process alone.

    Raises:
        ValueError: the device is not available, or one machine has fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(choose_device(device))
        return
    chosen = choose_device(device)
    if chosen.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise ValueError(f"This machine has {torch.cuda.device_count()} GPUs: start as many processes on it.")
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Team(chosen, dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


# -- the same numbers, however many take part --------------------------------------------------------


class SharedDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch, of which this process holds one part."""

    def __init__(self, p: float, team: Team) -> None:
        super().__init__(p)
        self.rank, self.size = team.rank, team.size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.empty((self.size * len(x), *x.shape[1:]), device=x.device).bernoulli_(1 - self.p)
        return x * kept[self.rank * len(x) : (self.rank + 1) * len(x)] / (1 - self.p)


class _Sum(torch.autograd.Function):
    """Sum over all processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


class GlobalBatchNorm(nn.BatchNorm2d):
    """Batch norm over the parts of all processes, on the CPU, where torch's SyncBatchNorm does not work."""

    team_size = 1

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x if x.dtype == torch.float64 else x.float()
        mean = _Sum.apply(wide.mean((0, 2, 3))) / self.team_size
        centered = wide - mean[:, None, None]
        variance = _Sum.apply(centered.square().mean((0, 2, 3))) / self.team_size
        with torch.no_grad():
            count = self.team_size * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None], centered, scale[:, None, None]).to(x.dtype)


def share_dropout(network: nn.Module, team: Team) -> None:
    """Replace the dropout of ``network`` by one that does not depend on the number of processes."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, SharedDropout(child.p, team))


def share_batch_norm(network: nn.Module, team: Team) -> None:
    """Let the batch norm of ``network`` see the whole batch; names and values of its state stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                if team.device.type == "cuda":
                    setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
                else:
                    child.__class__ = GlobalBatchNorm
                    child.team_size = team.size
