"""The shapes of a decay of the learning rate: one record per shape, and all that others need of it.

A shape that is added here is forecast, run, drawn and reported like the others, and `python -m sidetrip.merge` knows
it. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidetrip.kernels import Schedule


@dataclass(frozen=True)
class Decay:
    """A shape of a decay to 0.

    Attributes
    ----------
    name : str
        In tables and on the command line.
    title : str
        In figures and reports.
    colour : str
        Of its marks.
    schedule : callable
        Its multipliers over a number of steps.
    """

    name: str
    title: str
    colour: str
    schedule: Callable[[int], Schedule]


DECAYS = (
    Decay("linear", "linear", "#d1431f", Schedule.linear),
    Decay("cosine", "cosine", "#2b8a5c", Schedule.cosine),
    Decay("1-sqrt", "1 − √", "#7a3e9d", Schedule.one_minus_sqrt),
)
