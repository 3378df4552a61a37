"""The mean of the weights of several runs beside one run on the mean of their gradients.

Where the gradient is linear in the weights, with one Hessian H for all batches, the two are one: with θ the mean of the
weights of several runs, the mean of their gradients is H θ plus the mean of their noise. What they differ by is what
noise does since that is not so.
"""

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import Tensor, nn

from sidetrip.engine.batch import Batch
from sidetrip.engine.lab import Lab
from sidetrip.engine.training import Stream, batch_loss
from sidetrip.experiments.mean_gradient.plan import COLUMNS
from sidetrip.experiments.replicas.measure import WeightMeans, finite_scores, models
from sidetrip.experiments.units import BranchPoint

BatchKey = tuple[object, ...]


class Together:
    """Stream whose batch of a step holds those of several streams, all of one size, one after another."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def batch(self, step: int) -> Batch:
        """All batches of a step; the key holds theirs."""
        parts = [stream.batch(step) for stream in self._streams]
        inputs, targets = (torch.cat([getattr(part, name) for part in parts]) for name in ("inputs", "targets"))
        return Batch(inputs, targets, tuple(part.key for part in parts))


def loss_of_all(model: nn.Module, batch: Batch, precision: str) -> Tensor:
    """Mean of the losses of the batches of `Together`; each goes through the network, and its BatchNorm, alone."""
    number = len(batch.key)  # one key for each of the batches
    parts = zip(batch.inputs.chunk(number), batch.targets.chunk(number), batch.key, strict=True)
    losses = [
        batch_loss(model, Batch(inputs, targets, cast(BatchKey, key)), precision) for inputs, targets, key in parts
    ]
    return torch.stack(losses).mean()


def measure(lab: Lab, unit: BranchPoint) -> dict[str, pd.DataFrame]:
    """Score run, averages and trips: means of the weights over batch sequences, and of one run on the mean gradient.

    Returns
    -------
    mean_gradient : DataFrame
        seed, branch, kernel, window_steps, model (as of the table `replicas`), mean_of (weights, gradients), split,
        loss, accuracy. Models that a diverged run did not reach are missing.
    """
    start, number = lab.branch_point(unit.seed, unit.step), lab.config.mean_gradient.sequences
    streams = [lab.stream(unit.seed, f"mean_gradient/{unit.step}/{sequence}") for sequence in range(number)]
    alone = WeightMeans()
    for stream in streams:
        for key, weights in models(lab, start, stream).items():
            alone.add(key, weights)
    found = {
        "weights": alone.of(number, start.weights),
        "gradients": models(lab, start, Together(streams), loss_of_all, number),
    }
    rows = [
        (unit.seed, unit.step, *key, mean_of, *score)
        for mean_of, there in found.items()
        for key, weights in there.items()
        for score in finite_scores(lab, start, weights)
    ]
    return {"mean_gradient": pd.DataFrame(rows, columns=COLUMNS)}
