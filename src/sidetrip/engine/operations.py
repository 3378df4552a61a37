"""Whether a device takes a network's passes, and with the same bits every time, before anything is computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sidetrip.config import ConfigError
from sidetrip.engine.products import ieee_products
from sidetrip.engine.randomness import fixed_randomness
from sidetrip.engine.training import batch_loss

Batch = tuple[Tensor, Tensor]


def passes(model: nn.Module, batch: Batch, precision: str) -> list[Tensor]:
    """Loss, gradient, and Hessian times gradient of a batch: what the experiments take of a network.

    The first two in the precision of training, the last in full precision, as they do.
    """
    parameters = list(model.parameters())
    loss = batch_loss(model, batch, precision)
    found = [loss.detach(), *torch.autograd.grad(loss, parameters)]
    with ieee_products():
        gradient = torch.autograd.grad(batch_loss(model, batch), parameters, create_graph=True)
        along = torch.stack([(g * g.detach()).sum() for g in gradient]).sum()
        products = torch.autograd.grad(along, parameters, allow_unused=True, materialize_grads=True)
    return [*found, *products]


def check_operations(model: nn.Module, batch: Batch, precision: str, name: str) -> None:
    """Refuse a network of which the device lacks an operation, or has none that is deterministic.

    Parameters
    ----------
    model : nn.Module
        In training mode; its buffers change.
    batch : tuple of Tensor
        A few pictures and their labels, on the device.
    precision : str
        Of training.
    name : str
        Of the model, in params.yaml.

    Raises
    ------
    ConfigError
        If a forward, backward or double backward pass fails, or gives other bits at a second time.
    """
    device = batch[0].device
    try:
        found = []
        for _ in range(2):
            with fixed_randomness(device, "operations"):
                found.append(passes(model, batch, precision))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise ConfigError(
            f"model.name = {name}: cannot be measured on {device} ({reason}); use another model, or "
            "runtime.device = cpu"
        ) from error
    if not all(torch.equal(a, b) for a, b in zip(*found, strict=True) if bool(a.isfinite().all())):
        raise ConfigError(
            f"model.name = {name}: computes other bits on {device} at a second time; use another model, or "
            "runtime.device = cpu"
        )
