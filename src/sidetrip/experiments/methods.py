"""The averaging methods that are compared with trips: one record per method, and all that others need of it.

A method that is added here is measured, drawn, judged and reported like the others. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidetrip.config import SideTrips
from sidetrip.kernels import Kernel

IN_THE_PAPER = "Table 1, Fig. 5, 10, 14"


@dataclass(frozen=True)
class Method:
    """An averaging method.

    Attributes
    ----------
    name : str
        In tables, and at the end of the verdict's id.
    title : str
        In figures and reports.
    phrase : str
        As the subject of a sentence.
    schedule : str
        What its equivalent schedule is, in words.
    colour : str
        Of its lines where methods are compared.
    source : str
        Where its equivalence with a trip is stated; "this project" if the paper has it not.
    kernels : callable
        Its kernels, by the settings; the widest window is judged.
    """

    name: str
    title: str
    phrase: str
    schedule: str
    colour: str
    source: str
    kernels: Callable[[SideTrips], list[Kernel]]


METHODS = (
    Method(
        "swa",
        "SWA",
        "the SWA average",
        "a linear decay of the rate",
        "#0b72b5",
        IN_THE_PAPER,
        lambda settings: [Kernel.swa(k) for k in settings.windows],
    ),
    Method(
        "two_point",
        "Two-point",
        "the two-point average",
        "half the rate",
        "#d1431f",
        IN_THE_PAPER,
        lambda settings: [Kernel.two_point(k) for k in settings.two_point_windows],
    ),
    Method(
        "ema",
        "EMA",
        "the EMA",
        "the EMA's own decay of the rate",
        "#7a3e9d",
        IN_THE_PAPER,
        lambda settings: [Kernel.ema(settings.ema_steps, newest=settings.ema_newest)],
    ),
)
