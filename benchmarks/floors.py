"""The least that a kind of work can take: its network passes alone, on batches that are already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sidetrip.config.schema import Optimizer as OptimizerSettings
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.training import autocast, loss_of


def torch_optimizer(model: nn.Module, settings: OptimizerSettings, rate: float) -> torch.optim.Optimizer:
    """The optimizer of torch with the settings of a run."""
    parameters, decay = model.parameters(), settings.weight_decay
    if settings.name == "adamw":
        betas = settings.betas[0], settings.betas[1]
        return torch.optim.AdamW(parameters, rate, betas=betas, eps=settings.eps, weight_decay=decay)
    nesterov = settings.name == "nesterov"
    return torch.optim.SGD(parameters, rate, momentum=settings.momentum, weight_decay=decay, nesterov=nesterov)


def training_floor(lab: Lab, steps: int) -> Callable[[], None]:
    """Forward, backward and a step of torch's own optimizer on one resident batch, `steps` times, and nothing else."""
    model, (inputs, targets), precision = lab.model().train(), lab.stream(0).batch(1), lab.optimizer.precision
    optimizer = torch_optimizer(model, lab.config.burn_in.optimizer, 0.01)

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            with autocast(precision, inputs.device):
                logits = model(inputs)
            loss_of(logits.float(), targets).backward()
            optimizer.step()

    return run


def forward_floor(model: nn.Module, batches: Sequence[Tensor], precision: str) -> Callable[[], None]:
    """Forward passes of `model` over `batches` in the mode it is in."""

    @torch.inference_mode()
    def run() -> None:
        for inputs in batches:
            with autocast(precision, inputs.device):
                model(inputs)

    return run


@contextmanager
def torch_defaults(precision: str, threads: int) -> Iterator[None]:
    """No demand for determinism, as in a script that asks for nothing."""
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = False
    try:
        yield
    finally:
        make_deterministic(precision)
