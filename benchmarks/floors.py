"""The least that a kind of work can take: its network passes alone, on batches that are already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.optimizers import SGD, AdamW, Optimizer
from sidetrip.engine.training import autocast, loss_of


def torch_optimizer(model: nn.Module, ours: Optimizer, rate: float, **form: bool) -> torch.optim.Optimizer:
    """The class of torch with the constants of one of ours, in the `form` (fused, foreach) that torch is asked for."""
    parameters, decay = model.parameters(), ours.weight_decay
    if isinstance(ours, AdamW):
        return torch.optim.AdamW(parameters, rate, ours.betas, ours.eps, weight_decay=decay, **form)
    assert isinstance(ours, SGD)
    return torch.optim.SGD(parameters, rate, ours.momentum, weight_decay=decay, nesterov=ours.nesterov, **form)


def training_floor(lab: Lab, steps: int) -> Callable[[], None]:
    """Forward, backward and a step of torch's own optimizer on one resident batch, `steps` times, and nothing else."""
    model, (inputs, targets), precision = lab.model().train(), lab.stream(0).batch(1), lab.optimizer.precision
    optimizer = torch_optimizer(model, lab.optimizer, 0.01)

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
