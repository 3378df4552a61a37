"""Optimizers: how a step moves the weights, by their gradients, the optimizer's own state and the rate.

Here an update is the rate times what does not know the rate, θ_t = θ_{t-1} - λ_t u_t. Where u does not depend on the
weights either, the average of a run with a kernel is then where the trip with its schedule ends: both are
θ_0 - Σ_t λ_t s_t u_t. Clipping changes u alone. Weight decay ω has u depend on the weights. Where it is decoupled, a
step begins with θ ← (1 - λ_t ω) θ, and at one rate λ the average of k steps less the end of its trip is

    λ² ω Σ_t (1 - s_t) (Σ_{l>t} s_l) u_t

to first order in λ ω k: about rate × decay × steps of the way.

Steps are torch's own functional forms: making the classes loads its compiler, over a second in every worker.

References
----------
Sandler et al. 2023, §3. Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
learning", 2013. Kingma, Ba, "Adam", arXiv 1412.6980. Loshchilov, Hutter, "Decoupled weight decay regularization",
arXiv 1711.05101. Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", arXiv 1211.5063.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from sidetrip.config import BurnIn
from sidetrip.engine.state import Tensors, TrainState

Parts = list[Tensor]  # of all weights, one a parameter


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """Constants of an optimizer.

    Attributes
    ----------
    weight_decay : float
        Share of the weights that is added to the gradient, or, where decay is decoupled, to the update.
    clip : float
        Largest Euclidean norm of the whole gradient, to which longer ones are shortened; 0: none.
    precision : str
        Of the forward passes that its gradients come from: "fp32", "tf32" or "bf16".
    """

    weight_decay: float = 0.0
    clip: float = 0.0
    precision: str = "fp32"

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of what it keeps of each weight from step to step; all of it is zero before the first."""

    @abstractmethod
    def update(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], rate: float, step: int) -> None:
        """Take step number `step` of a run, the first is 1; in place. `kept` has a list for each of `slots`."""

    @abstractmethod
    def directions(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], step: int) -> Parts:
        """What that step would subtract from each of the weights, the rate aside; nothing is changed."""


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """v ← μ v + (g + ω θ), θ ← θ - λ v; Nesterov's form looks ahead, θ ← θ - λ (g + ω θ + μ v)."""

    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """v, where there is momentum."""
        return ("momentum",) if self.momentum else ()

    def update(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], rate: float, step: int) -> None:
        """See `Optimizer`."""
        buffers = cast("list[Tensor | None]", kept[0] if kept else [None] * len(weights))
        sgd(
            weights,
            gradients,
            buffers,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.nesterov,
            maximize=False,
        )

    def directions(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], step: int) -> Parts:
        """See `Optimizer`."""
        buffers = kept[0] if kept else [torch.zeros(())] * len(weights)
        terms = [(g, self.weight_decay * w) for w, g in zip(weights, gradients, strict=True)]
        moved = [self.momentum * v + g + decay for v, (g, decay) in zip(buffers, terms, strict=True)]
        if self.nesterov:
            moved = [self.momentum * v + g + decay for v, (g, decay) in zip(moved, terms, strict=True)]
        return moved


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled decay: θ ← (1 - λ ω) θ - λ m̂ / (√v̂ + ε).

    m and v are the running means of gradient and squared gradient, with the weights β of what was before; a hat divides
    them by 1 - βᵗ at the t-th step since initialisation, however a run comes to that step.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    slots = ("first_moment", "second_moment")  # m and v

    def update(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], rate: float, step: int) -> None:
        """See `Optimizer`."""
        self._adam(weights, gradients, kept, rate, step, self.weight_decay)

    def directions(self, weights: Parts, gradients: Parts, kept: Sequence[Parts], step: int) -> Parts:
        """See `Optimizer`."""
        moved = [torch.zeros_like(weight) for weight in weights]
        alike = [torch.empty_like(weight).copy_(g) for weight, g in zip(weights, gradients, strict=True)]
        self._adam(moved, alike, [[tensor.clone() for tensor in slot] for slot in kept], 1.0, step, 0.0)
        return [self.weight_decay * weight - move for weight, move in zip(weights, moved, strict=True)]

    def _adam(
        self, weights: Parts, gradients: Parts, kept: Sequence[Parts], rate: float, step: int, decay: float
    ) -> None:
        first, second = kept
        before = torch.full((len(weights),), step - 1.0, device=weights[0].device)  # counted on by torch, one a weight
        adam(
            weights,
            gradients,
            first,
            second,
            [],
            list(before.unbind()),
            # One pass over memory, in which all four are laid out alike, as autograd sees to for gradients. Its root is
            # rounded correctly, too: torch.sqrt of a tensor, as the other forms take, differs between processors.
            fused=True,
            decoupled_weight_decay=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=decay,
            eps=self.eps,
            maximize=False,
        )


def optimizer_of(settings: BurnIn, precision: str) -> Optimizer:
    """The optimizer that `burn_in` asks for."""
    chosen = settings.optimizer
    every: dict[str, Any] = {"weight_decay": chosen.weight_decay, "clip": settings.clip, "precision": precision}
    if chosen.name == "adamw":
        return AdamW(betas=(chosen.betas[0], chosen.betas[1]), eps=chosen.eps, **every)
    return SGD(momentum=chosen.momentum, nesterov=chosen.name == "nesterov", **every)


def clip_gradients(gradients: Parts, largest: float) -> None:
    """Shorten a gradient whose Euclidean norm over all its tensors is larger, in place; the norm takes any dtype."""
    norm = get_total_norm(gradients)
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))  # as torch's clip_grad_norm_ does


def kept_by(optimizer: Optimizer, state: TrainState, weights: Tensors) -> dict[str, Tensors]:
    """Copies of the optimizer's state, in the memory layout of live weights; zero before the first step of a run.

    Raises
    ------
    ValueError
        If the state is that of another optimizer.
    """
    missing = [slot for slot in optimizer.slots if slot not in state.optimizer]
    if missing and state.step:
        there = ", ".join(state.optimizer) or "nothing"
        raise ValueError(
            f"the state of step {state.step} is of another optimizer: it keeps {there}, not {', '.join(missing)}; "
            "go on with its own"
        )
    # The same layout is the same arithmetic, wherever the state came from.
    return {
        slot: {
            name: torch.zeros_like(weight)
            if slot in missing
            else torch.empty_like(weight).copy_(state.optimizer[slot][name])
            for name, weight in weights.items()
        }
        for slot in optimizer.slots
    }


@torch.no_grad()
def take_step(parameters: Tensors, kept: Mapping[str, Tensors], rate: float, step: int, optimizer: Optimizer) -> None:
    """One step of the parameters that have a gradient, in place: of them, their gradients, and what is kept of them."""
    moving = [name for name, parameter in parameters.items() if parameter.grad is not None]
    weights = [parameters[name] for name in moving]
    gradients = [cast(Tensor, weight.grad) for weight in weights]
    if optimizer.clip:
        clip_gradients(gradients, optimizer.clip)
    optimizer.update(weights, gradients, [[slot[name] for name in moving] for slot in kept.values()], rate, step)


@torch.no_grad()
def next_direction(state: TrainState, gradients: Tensors, optimizer: Optimizer) -> Tensors:
    """What the next step of a run subtracts from its weights, for these gradients of them; the rate aside."""
    found = list(gradients.values())
    if optimizer.clip:
        found = [gradient.clone() for gradient in found]
        clip_gradients(found, optimizer.clip)
    weights = {name: state.weights[name] for name in gradients}
    kept = [list(slot.values()) for slot in kept_by(optimizer, state, weights).values()]
    return dict(zip(gradients, optimizer.directions(list(weights.values()), found, kept, state.step + 1), strict=True))
