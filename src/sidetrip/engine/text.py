"""Windows of a text as batches: from each token of a window, and those before it, a network tells the next one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sidetrip.config import ConfigError
from sidetrip.data.text import windows
from sidetrip.engine.batch import Batch
from sidetrip.engine.loading import Loader, send
from sidetrip.engine.randomness import generator
from sidetrip.engine.streams import TrainingStream


class TextLoader(Loader):
    """The windows of a text, int [n], one after the other: window i begins at token i × context.

    Raises
    ------
    ConfigError
        If the text is too short for a window.
    """

    def __init__(self, tokens: np.ndarray, context: int, device: torch.device | str) -> None:
        self._windows = windows(len(tokens), context)
        if self._windows < 1:
            raise ConfigError(f"data.context = {context}: a split has only {len(tokens)} tokens; lower data.context")
        self.context, self.device, self._tokens = context, torch.device(device), tokens

    def __len__(self) -> int:
        return self._windows

    def batch(self, indices: np.ndarray, offset: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens int64 [n, context] of some windows, moved on by `offset` in [0, context); and of each the next."""
        begins = offset + self.context * indices
        tokens = self._tokens[begins[:, None] + np.arange(self.context + 1)].astype(np.int64)
        sent = send(tokens, self.device)
        return sent[:, :-1], sent[:, 1:]


@dataclass(frozen=True)
class TextStream(TrainingStream):
    """Windows of a text, in every epoch moved on by another offset: a token is told from more or fewer before it."""

    loader: TextLoader

    def stored(self, step: int) -> Batch:
        """Tokens of a step and those that follow."""
        offset = int(generator(self.seed, self.name, "offset", self.epoch(step)).integers(self.loader.context))
        tokens, following = self.loader.batch(self.indices(step), offset)
        return Batch(tokens, following, (self.seed, self.name, "masks", step))
