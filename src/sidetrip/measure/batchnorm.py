"""Exact BatchNorm statistics for weights that no run has trained.

Averaged weights have never seen a batch, so their running statistics mean nothing. Every model that
is compared, momentary ones and trips included, gets its statistics recomputed on the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

MOST_PASSES = 50  # until layers that are used several times agree with themselves
SETTLED = 1e-5  # relative change of their statistics that is rounding
STATISTICS = ("running_mean", "running_var")


class Moments(NamedTuple):
    """Of what goes into a layer at one use: samples, and of each channel mean and unbiased variance."""

    samples: int
    mean: Tensor
    variance: Tensor


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Set the statistics of every BatchNorm layer to those of all samples of `batches` together.

    The samples go through the network as one batch. Each layer then has the pooled statistics (mean
    of the batch means, within plus between variance, batches weighted by size), and the layers below
    it are normalised by their own pooled statistics, as they are in evaluation. So neither the split
    into batches nor their order matters, at any depth. All but BatchNorm is in evaluation mode: no random masks.
    `torch.optim.swa_utils.update_bn` weights uneven batches equally, drops the variance between batches and
    switches on dropout.

    A layer that is used several times has the statistics of all its uses together; in evaluation each use is
    normalised by them, so the samples go through the network again until what comes after it has settled as well.
    A layer that evaluation does not reach keeps what it has.

    Parameters
    ----------
    model : nn.Module
        Changed in place: `running_mean` and `running_var` only. Training flags, momenta and
        `num_batches_tracked` are left as they were. Must not be the model that is being trained.
    batches : iterable
        Tensors [n, ...] of inputs, or tuples whose first element is one; n may differ.

    Returns
    -------
    nn.Module
        `model`.

    Raises
    ------
    ValueError
        If there is a BatchNorm layer to set and no sample.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers:
        return model
    inputs: list[Tensor] = [b[0] if isinstance(b, (tuple, list)) else b for b in batches]
    if not sum(len(x) for x in inputs):
        raise ValueError("BatchNorm statistics need at least one sample; raise evaluation.recalibration_samples")
    samples = torch.cat(inputs)
    with _taking_statistics(model, layers):
        uses = _uses(model, layers, samples)
        shared = [layer for layer in layers if len(uses[layer]) > 1]
        for layer in shared:
            _pool(layer, uses[layer])
            layer.eval()
        for _ in range(MOST_PASSES if shared else 0):
            uses = _uses(model, shared, samples)
            if max([_pool(layer, uses[layer]) for layer in shared]) < SETTLED:
                break
    return model


@contextmanager
def _taking_statistics(model: nn.Module, layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let the statistics of `layers` become those of each batch; afterwards nothing else has changed."""
    flags = [(m, m.training) for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    kept = [{name: b.clone() for name, b in layer.named_buffers(recurse=False)} for layer in layers]
    reached: set[nn.Module] = set()
    try:
        model.eval()
        for layer in layers:
            layer.train()
            layer.reset_running_stats()  # 0 × a statistic that is not finite would not be 0
            layer.momentum = 1.0
        with _hooked(layers, lambda layer, arguments, output: reached.add(layer)):
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        for layer, momentum, buffers in zip(layers, momenta, kept, strict=True):
            layer.momentum = momentum
            for name, buffer in layer.named_buffers(recurse=False):
                if layer not in reached or name not in STATISTICS:
                    buffer.copy_(buffers[name])


@contextmanager
def _hooked(layers: Iterable[nn.Module], after: Callable[[Any, Any, Tensor], None]) -> Iterator[None]:
    """Call `after` with layer, arguments and output whenever one of `layers` has been used."""
    hooks = [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _uses(model: nn.Module, layers: Sequence[_BatchNorm], samples: Tensor) -> dict[_BatchNorm, list[Moments]]:
    """Moments of what goes into each of `layers`, at each of its uses by the model."""
    found: dict[_BatchNorm, list[Moments]] = {layer: [] for layer in layers}

    def note(layer: _BatchNorm, arguments: tuple[Tensor], output: Tensor) -> None:
        (x,) = arguments
        if layer.training:  # it has just taken them itself
            assert layer.running_mean is not None and layer.running_var is not None
            mean, variance = layer.running_mean.clone(), layer.running_var.clone()
        else:
            variance, mean = torch.var_mean(x, dim=[0, *range(2, x.dim())])
        found[layer].append(Moments(x.numel() // x.shape[1], mean, variance))

    with _hooked(layers, note):
        model(samples)
    return found


def _pool(layer: _BatchNorm, uses: Sequence[Moments]) -> float:
    """Set the statistics of a layer to those of all its uses; returns the largest relative change of one."""
    assert layer.running_mean is not None and layer.running_var is not None
    samples = sum(use.samples for use in uses)
    mean = torch.stack([use.samples * use.mean for use in uses]).sum(dim=0) / samples
    squares = [(use.samples - 1) * use.variance + use.samples * (use.mean - mean).square() for use in uses]
    variance = torch.stack(squares).sum(dim=0) / (samples - 1)
    scale = variance + layer.eps
    moved = (layer.running_mean - mean).square() / scale, (layer.running_var - variance).abs() / scale
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
    return max(math.sqrt(float(moved[0].max())), float(moved[1].max()))
