"""Several processes as one learner: each has its own worlds, and every update is the one that a single process with all worlds would make.

Started by ``torchrun --nproc-per-node N -m drive_fusion train …``. Worlds are numbered through over the processes, random numbers are
drawn for all of them in every process, minibatches are drawn from all decisions, and gradients are summed, so that N processes follow one
process with N times the worlds up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from sensors.errors import ConfigError


@dataclass(frozen=True)
class Group:
    """The processes that learn together, seen from one of them."""

    rank: int = 0
    """Which process this is."""
    size: int = 1
    """How many there are."""

    @classmethod
    def current(cls) -> Group:
        """The group that this process has joined; a group of one if none."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """The rows of this process among ``count`` a process."""
        return slice(self.rank * count, (self.rank + 1) * count)

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers

    def mean(self, number: float) -> float:
        """The mean of what every process hands in."""
        return number if self.size == 1 else float(self.sum(torch.tensor(number, dtype=torch.float64, device=self._device()))) / self.size

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in some process."""
        if self.size == 1:
            return flag
        return bool(self.sum(torch.tensor(float(flag), device=self._device())).item())

    def of_first(self, numbers: Tensor) -> Tensor:
        """What the first process has, in place."""
        if self.size > 1:
            distributed.broadcast(numbers, 0)
        return numbers

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, as one message."""
        if self.size == 1:
            return
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in wanted:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in wanted if parameter.grad is not None]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, parts, strict=True):
            gradient.copy_(total.view_as(gradient))

    def gathered(self, data: bytes) -> list[bytes]:
        """What every process hands in, in order of their ranks; plain bytes, nothing is unpickled."""
        if self.size == 1:
            return [data]
        device = self._device()
        sizes = [torch.zeros((), dtype=torch.int64, device=device) for _ in range(self.size)]
        distributed.all_gather(sizes, torch.tensor(len(data), device=device))
        longest = int(max(sizes))
        own = torch.zeros(longest, dtype=torch.uint8, device=device)
        own[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(device)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        distributed.all_gather(parts, own)
        return [part[: int(size)].cpu().numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def _device(self) -> torch.device:
        return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


def join(device: torch.device) -> Group:
    """Join the group that torchrun started this process for; a group of one where it did not.

    Args:
        device: Where networks run: gloo carries messages between CPUs, nccl between GPUs.

    Raises:
        ConfigError: torchrun's variables are there, but the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        return Group.current()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot join the group of {os.environ['WORLD_SIZE']} processes: {' '.join(str(error).split())}") from error
    return Group.current()


def leave() -> None:
    """Leave the group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
