"""Exact BatchNorm statistics for weights that no run has trained.

Averaged weights have never seen a batch, so their running statistics mean nothing. Every model that
is compared, momentary ones and trips included, gets its statistics recomputed on the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _LazyNormBase

STATISTICS = ("running_mean", "running_var")


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Set the statistics of every BatchNorm layer to those of all samples of `batches` together.

    The samples go through the network as one batch. Each layer then has the pooled statistics (mean
    of the batch means, within plus between variance, batches weighted by size), and the layers below
    it are normalised by their own pooled statistics, as they are in evaluation. So neither the split
    into batches nor their order matters, at any depth. All but BatchNorm is in evaluation mode: no random masks.
    `torch.optim.swa_utils.update_bn` weights uneven batches equally, drops the variance between batches and
    switches on dropout.

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
        If there is a BatchNorm layer to set and no sample, if a batch has no inputs, or if a layer cannot have
        statistics of its own: one that is used twice, or a lazy one that no batch has given a size yet. The model is
        then as it was.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats}
    if not layers:
        return model
    for name, layer in layers.items():
        if isinstance(layer, _LazyNormBase) and layer.has_uninitialized_params():
            raise ValueError(f"layer {name!r} has no size yet; send a batch through the model before recalibrating it")
    inputs = [_inputs(batch) for batch in batches]
    if not sum(len(x) for x in inputs):
        raise ValueError("BatchNorm statistics need at least one sample; raise evaluation.recalibration_samples")
    with _taking_statistics(model, layers):
        model(torch.cat(inputs))
    return model


def _inputs(batch: Any) -> Tensor:
    found = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(found, Tensor):
        raise ValueError(
            f"a batch is a {type(batch).__name__} that does not begin with a tensor of inputs; "
            "give tensors, or tuples that begin with one"
        )
    return found


@contextmanager
def _taking_statistics(model: nn.Module, layers: Mapping[str, _BatchNorm]) -> Iterator[None]:
    """Let the statistics of `layers` become those of the next batch; afterwards nothing else has changed."""
    flags = [(m, m.training) for m in model.modules()]
    momenta = [layer.momentum for layer in layers.values()]
    kept = [{name: b.clone() for name, b in layer.named_buffers(recurse=False)} for layer in layers.values()]
    names = {layer: name for name, layer in layers.items()}
    used: set[nn.Module] = set()

    def note(layer: Any, arguments: Any, output: Any) -> None:
        if layer in used:
            raise ValueError(
                f"BatchNorm layer {names[layer]!r} is used twice by the model, so that no statistics are those of one "
                "input; use a model that has a layer for each place"
            )
        used.add(layer)

    hooks = [layer.register_forward_hook(note) for layer in layers.values()]
    try:
        model.eval()
        for layer in layers.values():
            layer.train()
            layer.reset_running_stats()  # 0 × a statistic that is not finite would not be 0
            layer.momentum = 1.0
        yield
    except BaseException:
        used.clear()  # so that all of them keep what they had
        raise
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in flags:
            module.training = flag
        for layer, momentum, buffers in zip(layers.values(), momenta, kept, strict=True):
            layer.momentum = momentum
            for name, buffer in layer.named_buffers(recurse=False):
                if layer not in used or name not in STATISTICS:
                    buffer.copy_(buffers[name])
