"""Running averages of a trajectory for many kernels at once, in memory that does not grow with the window."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from sidetrip.engine.state import Tensors
from sidetrip.engine.training import Position
from sidetrip.kernels import Kernel


class RunningAverage:
    """Observer that forms Σ_j w_j θ_j on the way.

    One sum is kept, whatever the kernel and its window, which begins at step `start` with the branch point θ_0.
    Parameters only: BatchNorm buffers of an average are recomputed, never averaged.
    """

    def __init__(self, kernel: Kernel, start: int) -> None:
        self.kernel, self.start = kernel, start
        self._sum: Tensors = {}
        self._seen = 0

    @property
    def end(self) -> int:
        """Step after which the average is complete."""
        return self.start + self.kernel.steps

    def __call__(self, position: Position) -> None:
        """Take in the iterate at this position if it lies in the window."""
        index = position.step - self.start
        if not 0 <= index <= self.kernel.steps:
            return
        if not self._sum:
            self._sum = {name: torch.zeros_like(w) for name, w in position.weights.items()}
        self._seen += 1
        weight = float(self.kernel.weights[index])
        if weight:
            torch._foreach_add_(list(self._sum.values()), list(position.weights.values()), alpha=weight)

    def weights(self) -> Tensors:
        """The finished average; the sum is handed over, not copied.

        Raises
        ------
        RuntimeError
            If the run has not passed through the whole window.
        """
        if self._seen != self.kernel.steps + 1:
            raise RuntimeError(
                f"the average over steps {self.start}..{self.end} has seen {self._seen} of "
                f"{self.kernel.steps + 1} iterates; advance the run through the window first"
            )
        finished, self._sum, self._seen = self._sum, {}, 0
        return finished


class AverageBank:
    """Observer over many averages that calls `finished` when each is complete, at its last step, then drops it.

    A run that has diverged by then stops there instead.
    """

    def __init__(
        self, averages: Iterable[RunningAverage], finished: Callable[[Position, RunningAverage], None]
    ) -> None:
        self._averages, self._finished = list(averages), finished

    def __call__(self, position: Position) -> None:
        """Show the position to every average that is still open."""
        for average in self._averages:
            average(position)
        complete = [a for a in self._averages if a.end == position.step]
        if complete:
            position.check()
        for average in complete:
            self._finished(position, average)
        self._averages = [a for a in self._averages if a.end > position.step]
