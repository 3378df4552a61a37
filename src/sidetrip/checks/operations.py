"""Whether a device takes a network's passes, and with the same bits every time, before anything is computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sidetrip.config import ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import ieee_products
from sidetrip.engine.gradients import gradient, twice_differentiable
from sidetrip.engine.training import batch_loss


def passes(model: nn.Module, batch: Batch, precision: str) -> list[Tensor]:
    """Loss, gradient, and Hessian times gradient of a batch: what the experiments take of a network.

    The first two in the precision of training, the last in full precision, as they do.
    """
    loss = batch_loss(model, batch, precision)
    found = [loss.detach(), *gradient(loss, model)]
    with ieee_products(), twice_differentiable():
        slopes = gradient(batch_loss(model, batch), model, differentiable=True)
        along = torch.stack([(slope * slope.detach()).sum() for slope in slopes]).sum()
        return [*found, *gradient(along, model)]


def check_operations(model: nn.Module, batch: Batch, precision: str, name: str) -> None:
    """Refuse a network of which the device lacks an operation, or has none that is deterministic.

    The model is in training mode, and its buffers change; the batch, a few samples, is on the device. `name` is that of
    params.yaml.
    """
    device, remedy = batch.inputs.device, "use another model, or runtime.device = cpu"
    try:
        found = [passes(model, batch, precision) for _ in range(2)]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise ConfigError(f"model.name = {name}: cannot be measured on {device} ({reason}); {remedy}") from error
    if not all(torch.equal(a, b) for a, b in zip(*found, strict=True) if bool(a.isfinite().all())):
        raise ConfigError(f"model.name = {name}: computes other bits on {device} at a second time; {remedy}")
