"""Whether a network does all that will be asked of it, before anything else is computed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sidetrip.config import Config, ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.gradients import gradient, twice_differentiable
from sidetrip.engine.models import ModelError, network
from sidetrip.engine.randomness import fixed_randomness, torch_generator
from sidetrip.engine.training import autocast, batch_loss
from sidetrip.measure.batchnorm import recalibrate


def check_model(config: Config, channels: int, classes: int, device: torch.device) -> None:
    """Refuse a model that does not go over such data, forward, backward, and through a second derivative.

    Done in truth, on a device like those that will train, with a few samples of noise.
    """
    settings, data = config.model, config.data
    form, key = f"pictures of {data.size} × {data.size} pixels", "data.size"
    few = max(2, min(16, 256 // data.size))  # small ones end as single pixels, of which BatchNorm needs some
    if settings.name == "decoder":
        form, key = f"windows of {data.context} tokens", "data.context"
        few = 2
    inputs, targets = (tensor.to(device) for tensor in noise(config, channels, classes, few))
    batch = Batch(inputs, targets, ("fitness",))

    @contextmanager
    def refused(reason: str, remedy: str = "") -> Iterator[None]:
        try:
            yield
        except ModelError as error:
            raise ConfigError(f"model.name = {settings.name}: {error}") from error
        except (ValueError, RuntimeError, AssertionError) as error:
            said = str(error).strip().partition("\n")[0]
            raise ConfigError(f"model.name = {settings.name}: {reason} ({said}){remedy}") from error

    def loss() -> Tensor:
        return batch_loss(model, batch, settings.precision)

    with warnings.catch_warnings(action="ignore"):
        with refused(f"does not take {form}", f"; use another model or another {key}"):
            model = network(config, channels, classes).to(device).train()
            with fixed_randomness(device, *batch.key), autocast(settings.precision, device):
                logits = model(inputs)
        if not isinstance(logits, Tensor) or logits.shape != (*targets.shape, classes):
            raise ConfigError(
                f"model.name = {settings.name}: gives more than the logits of {classes} classes; use another model"
            )
        with refused(f"cannot be trained on {device}", "; use another model, or another runtime.device"):
            finite = _is_finite(gradient(loss(), model))
        with refused("has no second derivative, which single_step takes", "; use another model"):
            with twice_differentiable():
                slopes = gradient(loss(), model, differentiable=True)
            product = gradient(torch.stack([slope.square().sum() for slope in slopes]).sum(), model)
        if finite and not _is_finite(product):
            raise ConfigError(
                f"model.name = {settings.name}: its second derivative is not finite for {form}, and single_step takes "
                f"it; use another model or another {key}"
            )
        with refused("cannot be scored"):
            recalibrate(model, [inputs])


def noise(config: Config, channels: int, classes: int, samples: int) -> tuple[Tensor, Tensor]:
    """Random inputs of the form that the data have, and targets."""
    random = torch_generator(torch.device("cpu"), "fitness")
    if config.model.name == "decoder":
        tokens = torch.randint(classes, (samples, config.data.context + 1), generator=random)
        return tokens[:, :-1], tokens[:, 1:]
    size = config.data.size
    pictures = torch.randn(samples, channels, size, size, generator=random)
    return pictures.to(memory_format=torch.channels_last), torch.arange(samples) % classes


def _is_finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)
