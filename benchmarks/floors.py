"""The least that a kind of work can take: its network passes alone, on batches that are already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.training import autocast


def training_floor(lab: Lab, steps: int) -> Callable[[], None]:
    """Forward, backward and torch's SGD step on one resident batch, `steps` times, and nothing else."""
    model, (pictures, labels), constants = lab.model().train(), lab.stream(0).batch(1), lab.optimizer
    sgd = torch.optim.SGD(model.parameters(), 0.01, momentum=constants.momentum, weight_decay=constants.weight_decay)

    def run() -> None:
        for _ in range(steps):
            sgd.zero_grad()
            with autocast(constants.precision, pictures.device):
                logits = model(pictures)
            cross_entropy(logits.float(), labels).backward()
            sgd.step()

    return run


def forward_floor(model: nn.Module, batches: Sequence[Tensor], precision: str) -> Callable[[], None]:
    """Forward passes of `model` over `batches` in the mode it is in."""

    @torch.inference_mode()
    def run() -> None:
        for pictures in batches:
            with autocast(precision, pictures.device):
                model(pictures)

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
