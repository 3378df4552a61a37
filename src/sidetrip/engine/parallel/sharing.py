"""What the processes that advance one state together share at every step.

Each, a rank, has the whole state and all the data. It takes its part of the batch of a step; losses, gradients and
BatchNorm statistics are then those of the whole batch, on every rank with the same bits. So everything else, the step
itself and what observers do, goes on alike in all of them.

Gradients are reduced in one fixed order, that of the parameters. DistributedDataParallel sorts them anew after the
first step that it takes, so with more than two ranks a run that is taken up, or a trip, would not be its main
trajectory bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn

# For a rank that is alive but late: reading much data, or saving on a slow disk. One that is gone ends the others.
PATIENCE = timedelta(hours=1)


class RankLostError(RuntimeError):
    """Another process of the group is gone, so this one cannot go on."""


class NoGroupError(RuntimeError):
    """The processes could not form a group; another attempt would fail alike."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that a run goes over.

    Attributes
    ----------
    rank : int
        Its number, from 0.
    size : int
        How many there are; alone, it has nothing to share.
    """

    rank: int = 0
    size: int = 1

    @property
    def part(self) -> slice:
        """This rank's samples of a batch: every `size`-th. All have as many if the batch is divisible."""
        return slice(self.rank, None, self.size)

    def normalise_together(self, model: nn.Module) -> nn.Module:
        """`model` with BatchNorm layers that take the statistics of the whole batch in training.

        They take the place of its own, with the same parameters, buffers and names.
        """
        if self.size == 1:
            return model
        from sidetrip.engine.parallel.batchnorm import use_whole_batch

        return use_whole_batch(model, self)

    def check_alike(self, step: int, weights: Iterable[Tensor]) -> None:
        """Refuse to go on where ranks stand at different steps or weights: their gradients have no common meaning.

        Raises
        ------
        RuntimeError
            If they do.
        """
        if self.size == 1:
            return
        sums = torch.stack([weight.detach().double().sum() for weight in weights])
        found = self.gather(torch.cat([sums, sums.new_tensor([step])]))
        if not torch.allclose(found, found[:1], rtol=0.0, atol=0.0, equal_nan=True):
            raise RuntimeError(f"the processes of a group have gone apart: they are at steps {found[:, -1].tolist()}")

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradient of each parameter by its mean over the ranks."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.mean(torch.cat([g.reshape(-1) for g in gradients]))
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over the ranks, without gradient."""
        return self.sum(value) / self.size

    def sum(self, value: Tensor) -> Tensor:
        """Sum of a tensor over the ranks, without gradient; alone, the tensor itself."""
        if self.size == 1:
            return value.detach()
        import torch.distributed as distributed

        total = value.detach().clone(memory_format=torch.contiguous_format)
        with _telling_losses():
            distributed.all_reduce(total)
        return total

    def gather(self, value: Tensor) -> Tensor:
        """The tensors of all ranks, shape (size, *value.shape), without gradient."""
        import torch.distributed as distributed

        found = [torch.empty_like(value) for _ in range(self.size)]
        with _telling_losses():
            distributed.all_gather(found, value.detach().contiguous())
        return torch.stack(found)

    def tell(self, text: str = "") -> str:
        """The first rank's text, on every rank; it may take its time."""
        import torch.distributed as distributed

        told = [text]
        with _telling_losses():
            distributed.broadcast_object_list(told)
        return told[0]


_ranks = Ranks()


def ranks() -> Ranks:
    """This process among those that its runs go over; alone, unless `joined`."""
    return _ranks


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the group that the environment describes (as torch's launcher does) for as long as the context lasts.

    Raises
    ------
    NoGroupError
        If the processes do not find together.
    """
    global _ranks
    import torch.distributed as distributed

    gpu = torch.device(device) if device.startswith("cuda") else None
    if gpu is not None:
        torch.cuda.set_device(gpu)  # for collectives of objects
    try:
        distributed.init_process_group("gloo" if gpu is None else "nccl", device_id=gpu, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise NoGroupError(str(error)) from error
    _ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    try:
        yield _ranks
    finally:
        _ranks = Ranks()
    distributed.destroy_process_group()


@contextmanager
def _telling_losses() -> Iterator[None]:
    """Tell a lost connection from what else may go wrong: gloo raises bare RuntimeErrors."""
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"another process of the group is gone ({error})") from error
