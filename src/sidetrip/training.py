"""The one function that advances a training state; no stage has a training loop of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sidetrip.state import Tensors, TrainState, capture, restore

PRECISIONS = ("fp32", "tf32", "bf16")


class Stream(Protocol):
    """A batch sequence: a pure function of the step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures [batch, channels, height, width] and labels [batch] of a step (the first step is 1)."""
        ...


@dataclass(frozen=True)
class Optimizer:
    """Constants of SGD in PyTorch's form: v ← μ v + (g + wd θ), θ ← θ - λ v."""

    momentum: float
    weight_decay: float
    precision: str = "fp32"


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


@dataclass(frozen=True)
class Position:
    """Where a run stands, as its observers see it: live tensors, to be read and not kept.

    Attributes
    ----------
    step : int
        Steps taken since initialisation.
    weights : dict of str to Tensor
        The live parameters.
    loss : float or None
        Loss of the batch of this step before it was taken; None at the start.
    state : callable
        Copies the complete state out.
    """

    step: int
    weights: Tensors
    loss: float | None
    state: Callable[[], TrainState]


Observer = Callable[[Position], None]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Context in which forward passes run: bfloat16 for "bf16", as they are otherwise."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def batch_loss(model: nn.Module, batch: tuple[Tensor, Tensor], precision: str = "fp32") -> Tensor:
    """Mean cross-entropy of a batch, a scalar in float32 or better."""
    pictures, labels = batch
    with autocast(precision, pictures.device):
        logits = model(pictures)
    return cross_entropy(logits if logits.dtype == torch.float64 else logits.float(), labels)


def advance(
    model: nn.Module,
    state: TrainState,
    stream: Stream,
    rates: Sequence[float],
    optimizer: Optimizer,
    observers: Sequence[Observer] = (),
    loss: Callable[[nn.Module, tuple[Tensor, Tensor], str], Tensor] = batch_loss,
) -> TrainState:
    """Take one SGD step for each rate, from `state`, on the batches of `stream`.

    Parameters
    ----------
    model : nn.Module
        Scratch space on the right device; its former contents are lost.
    state : TrainState
        Where to start; not changed. Momentum is carried over.
    stream : Stream
        Step t + 1 takes batch t + 1 of it, whatever the branch point.
    rates : sequence of float
        λ of each step.
    optimizer : Optimizer
        SGD's constants.
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
    """
    restore(state, model)
    model.train()
    parameters = dict(model.named_parameters())
    sgd = torch.optim.SGD(parameters.values(), lr=0.0, momentum=optimizer.momentum, weight_decay=optimizer.weight_decay)
    momentum: Tensors = {}
    for name, parameter in parameters.items():
        # Copied into the parameter's memory layout: the same arithmetic wherever the state came from.
        momentum[name] = torch.empty_like(parameter).copy_(state.momentum[name])
        sgd.state[parameter]["momentum_buffer"] = momentum[name]
    live = {name: parameter.detach() for name, parameter in parameters.items()}

    def show(step: int, value: float | None) -> None:
        if observers:
            position = Position(step, live, value, lambda: capture(model, momentum, step))
            for observer in observers:
                observer(position)

    show(state.step, None)
    last: float | None = None
    for step, rate in enumerate(rates, start=state.step + 1):
        sgd.param_groups[0]["lr"] = float(rate)
        sgd.zero_grad(set_to_none=True)
        objective = loss(model, stream.batch(step), optimizer.precision)
        value = objective.item()
        if not torch.isfinite(objective):
            raise DivergedError(step, float(rate), last)
        objective.backward()
        sgd.step()
        last = value
        show(step, value)
    return capture(model, momentum, state.step + len(rates))
