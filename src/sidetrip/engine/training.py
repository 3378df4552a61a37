"""The one function that advances a training state; no stage has a training loop of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sidetrip.engine.batch import Batch
from sidetrip.engine.optimizers import Optimizer, kept_by, take_step
from sidetrip.engine.randomness import fixed_randomness
from sidetrip.engine.state import Tensors, TrainState, capture, restore, trained


class Stream(Protocol):
    """A batch sequence: a pure function of the step."""

    def batch(self, step: int) -> Batch:
        """The batch of a step; the first step is 1."""
        ...


class DivergedError(RuntimeError):
    """A loss stopped being finite.

    Attributes
    ----------
    step : int
        The first step whose loss was not finite.
    rate : float
        Its learning rate.
    last_finite_loss : float or None
        The loss of the step before.
    """

    def __init__(self, step: int, rate: float, last_finite_loss: float | None) -> None:
        last = "none" if last_finite_loss is None else f"{last_finite_loss:.6g}"
        super().__init__(
            f"the loss is not finite at step {step} (rate {rate:g}, last finite loss {last}); lower the learning rate"
        )
        self.step, self.rate, self.last_finite_loss = step, rate, last_finite_loss

    def __reduce__(self) -> tuple[type[DivergedError], tuple[int, float, float | None]]:
        # Rebuilt from its fields when a worker process hands it back.
        return DivergedError, (self.step, self.rate, self.last_finite_loss)


class Losses:
    """Losses of a run from step `start` on, read back in blocks: a GPU's queue is not waited for at every step."""

    def __init__(self, start: int, rates: Sequence[float], block: int) -> None:
        self._start, self._rates, self._block = start, rates, block
        self._read = 0
        self._last: float | None = None
        self._unread: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Take in the loss of the next step."""
        self._unread.append(loss.detach())
        if len(self._unread) >= self._block:
            self.check()

    def check(self) -> None:
        """Read what is unread.

        Raises
        ------
        DivergedError
            At the first loss that is not finite.
        """
        unread, self._unread = self._unread, []
        for loss in torch.stack(unread).tolist() if unread else ():
            self._read += 1
            if not math.isfinite(loss):
                raise DivergedError(self._start + self._read, float(self._rates[self._read - 1]), self._last)
            self._last = loss


def losses_read_at_once(device: torch.device) -> int:
    """One where reading costs nothing; on a GPU as many as keep its queue full."""
    return 1 if device.type == "cpu" else 64


@dataclass(frozen=True)
class Position:
    """Where a run stands, as its observers see it: live tensors, to be read and not kept.

    Attributes
    ----------
    step : int
        Steps taken since initialisation.
    weights : dict of str to Tensor
        The live parameters that are trained. On a GPU they may be those of a run that has diverged within the last
        few steps, until `check` has been called.
    batch_loss : Tensor or None
        Loss of the batch of this step before it was taken, a scalar on the device; None at the start. May be kept.
    state : callable
        Copies the complete state out; checks first.
    check : callable
        Raises DivergedError if a loss so far was not finite. Waits for a GPU: call it before measuring, not at
        every step.
    """

    step: int
    weights: Tensors
    batch_loss: Tensor | None
    state: Callable[[], TrainState]
    check: Callable[[], None] = lambda: None


Observer = Callable[[Position], None]
Loss = Callable[[nn.Module, Batch, str], Tensor]  # of a batch, at a precision


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Context in which forward passes run: bfloat16 for "bf16", as they are otherwise."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def logits_of(model: nn.Module, batch: Batch, precision: str = "fp32") -> Tensor:
    """Logits [batch, ..., classes] in float32 or better, with the random masks that are the batch's own."""
    device = batch.inputs.device
    with fixed_randomness(device, *batch.key), autocast(precision, device):
        logits: Tensor = model(batch.inputs)
    return logits if logits.dtype == torch.float64 else logits.float()


def loss_of(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats of logits [..., classes] with targets [...]: of pictures, or of every token of each window.

    Flat, since torch's loss of more dimensions is not deterministic on GPUs.
    """
    return cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)


def batch_loss(model: nn.Module, batch: Batch, precision: str = "fp32") -> Tensor:
    """Mean cross-entropy of a batch, a scalar in float32 or better."""
    return loss_of(logits_of(model, batch, precision), batch.targets)


def advance(
    model: nn.Module,
    state: TrainState,
    stream: Stream,
    rates: Sequence[float],
    optimizer: Optimizer,
    observers: Sequence[Observer] = (),
    loss: Loss = batch_loss,
) -> TrainState:
    """Take one step of the optimizer for each rate, from `state`, on the batches of `stream`.

    Parameters
    ----------
    model : nn.Module
        Scratch space on the right device; its former contents are lost.
    state : TrainState
        Where to start; not changed. The optimizer's state is carried over.
    stream : Stream
        Step t + 1 takes batch t + 1 of it, whatever the branch point.
    rates : sequence of float
        λ of each step.
    optimizer : Optimizer
        Its constants.
    observers : sequence of callable
        Each is shown the position before the first and after every step.
    loss : callable
        Of (model, batch, precision); cross-entropy by default.

    Returns
    -------
    TrainState
        After the last step.

    Raises
    ------
    DivergedError
        At the first loss that is not finite.
    ValueError
        If the state is of another architecture or optimizer.
    """
    restore(state, model)
    model.train()
    parameters: Tensors = dict(trained(model))
    live = {name: parameter.detach() for name, parameter in parameters.items()}
    kept = kept_by(optimizer, state, live)
    losses = Losses(state.step, rates, losses_read_at_once(next(iter(live.values())).device))

    def show(step: int, batch_loss: Tensor | None) -> None:
        def copied() -> TrainState:
            losses.check()
            return capture(model, kept, step)

        position = Position(step, live, batch_loss, copied, losses.check)
        for observer in observers:
            observer(position)

    show(state.step, None)
    for step, rate in enumerate(rates, start=state.step + 1):
        for parameter in parameters.values():
            parameter.grad = None
        objective = loss(model, stream.batch(step), optimizer.precision)
        losses.add(objective)
        objective.backward()
        take_step(parameters, kept, float(rate), step, optimizer)
        show(step, objective.detach())
    losses.check()
    return capture(model, kept, state.step + len(rates))
