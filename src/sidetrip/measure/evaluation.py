"""Loss and accuracy of a state, after exact recalibration of their BatchNorm statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sidetrip.engine.state import TrainState, restore
from sidetrip.engine.training import autocast, loss_of
from sidetrip.measure.batchnorm import recalibrate
from sidetrip.measure.folding import FoldedNetwork

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats) and share that is right, of all predictions: one a picture, or one a token."""

    loss: float
    accuracy: float


@torch.inference_mode()
def score(model: nn.Module, batches: Iterable[Batch], precision: str = "fp32") -> Score:
    """Score `model`, which is put into evaluation mode; every sample counts once, the last partial batch included."""
    model.eval()
    losses, right, predictions = [], [], 0
    for inputs, targets in batches:
        with autocast(precision, inputs.device):
            logits = model(inputs)
        losses.append(loss_of(logits.float(), targets, reduction="sum").double())
        right.append((logits.argmax(dim=-1) == targets).sum())
        predictions += targets.numel()
    # Read once at the end: a GPU is not waited for at every batch.
    loss, hits = torch.stack([torch.stack(losses).sum(), torch.stack(right).sum().double()]).tolist()
    return Score(loss / predictions, hits / predictions)


class Evaluator:
    """Scores states on named splits, each time with statistics recomputed on the same training batches.

    It has a model of its own, so a model in training is never touched.

    Parameters
    ----------
    model : nn.Module
        Scratch space, on the device of the batches.
    recalibration : iterable of batches
        Training samples that the BatchNorm statistics come from.
    splits : mapping of str to iterable of batches
        What to score on.
    precision : str
        Of the forward passes, those for the statistics too.
    """

    def __init__(
        self, model: nn.Module, recalibration: Iterable[Any], splits: Mapping[str, Iterable[Batch]], precision: str
    ) -> None:
        self._model, self._recalibration, self.splits, self._precision = model, recalibration, splits, precision
        self._folded = FoldedNetwork(model)

    def _recalibrate(self, state: TrainState) -> None:
        restore(state, self._model)
        with autocast(self._precision, next(self._model.parameters()).device):
            recalibrate(self._model, self._recalibration)

    @torch.no_grad()
    def recalibrated(self, state: TrainState) -> dict[str, Tensor]:
        """Copies of the parameters and buffers that `state` is scored with."""
        self._recalibrate(state)
        return {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    @torch.no_grad()
    def __call__(self, state: TrainState) -> Iterator[tuple[str, Score]]:
        """Yield (split, score) for each split; momentum and step of the state do not matter."""
        self._recalibrate(state)
        network = self._folded.refresh()
        for split, batches in self.splits.items():
            yield split, score(network, batches, self._precision)
