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

    The samples go through the network as one batch. Each layer then has the pooled statistics (mean
    of the batch means, within plus between variance, batches weighted by size), and the layers below
    it are normalised by their own pooled statistics, as they are in evaluation. So neither the split
    into batches nor their order matters, at any depth. `torch.optim.swa_utils.update_bn` weights uneven batches
    equally, drops the variance between batches and switches on dropout.

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
    flags = [(m, m.training) for m in model.modules()]
    momenta = [layer.momentum for layer in layers]
    counts = [None if (n := layer.num_batches_tracked) is None else n.clone() for layer in layers]
    try:
        model.eval()  # dropout and the like stay off
        for layer in layers:
            layer.train()
            layer.reset_running_stats()  # 0 × a statistic that is not finite would not be 0
            layer.momentum = 1.0  # the running statistics become those of the one batch
        model(torch.cat(inputs))
    finally:
        for module, flag in flags:
            module.training = flag
        for layer, momentum, count in zip(layers, momenta, counts, strict=True):
            layer.momentum = momentum
            if count is not None and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.copy_(count)
    return model
