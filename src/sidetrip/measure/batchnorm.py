"""Exact BatchNorm statistics for weights that no run has trained.

Averaged weights have never seen a batch, so their running statistics mean nothing. Every model that
is compared, momentary ones and trips included, gets its statistics recomputed on the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Set the statistics of every BatchNorm layer to those of all samples of `batches` together.

    The samples go through the network as one batch. Each layer then has the pooled statistics (mean of the batch means,
    within plus between variance, batches weighted by size), and the layers below it are normalised by their own, as
    they are in evaluation. So neither the split into batches nor their order matters, at any depth. All but BatchNorm
    is in evaluation mode: no random masks. A layer that evaluation does not reach keeps what it has.
    `torch.optim.swa_utils.update_bn` weights uneven batches equally, drops the variance between batches and switches on
    dropout.

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
        If there is a BatchNorm layer to set and no sample, if a batch has no inputs, or if a layer is used twice and so
        has no statistics of its own. The model is then as it was.
    """
    layers = {m: name for name, m in model.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats}
    if not layers:
        return model
    inputs = [_inputs(batch) for batch in batches]
    if not sum(len(x) for x in inputs):
        raise ValueError("BatchNorm statistics need at least one sample; raise evaluation.recalibration_samples")
    flags = [(module, module.training) for module in model.modules()]
    kept: dict[_BatchNorm, tuple[float | None, dict[str, Tensor]]] = {}  # of the layers that are reached

    def take_statistics(layer: _BatchNorm, arguments: Any) -> None:
        if layer in kept:
            raise ValueError(
                f"BatchNorm layer {layers[layer]!r} is used twice by the model, so that no statistics are those of one "
                "input; use a model that has a layer for each place"
            )
        kept[layer] = layer.momentum, {name: b.clone() for name, b in layer.named_buffers(recurse=False)}
        layer.train()
        layer.reset_running_stats()  # 0 × a statistic that is not finite would not be 0
        layer.momentum = 1.0

    hooks = [layer.register_forward_pre_hook(take_statistics) for layer in layers]
    restored = ["num_batches_tracked"]
    try:
        model.eval()
        model(torch.cat(inputs))
    except BaseException:
        restored += ["running_mean", "running_var"]
        raise
    finally:
        for hook in hooks:
            hook.remove()
        for module, flag in flags:
            module.training = flag
        for layer, (momentum, buffers) in kept.items():
            layer.momentum = momentum
            for name in restored:
                layer.get_buffer(name).copy_(buffers[name])
    return model


def _inputs(batch: Any) -> Tensor:
    found = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(found, Tensor):
        raise ValueError(
            f"a batch is a {type(batch).__name__} that does not begin with a tensor of inputs; "
            "give tensors, or tuples that begin with one"
        )
    return found
