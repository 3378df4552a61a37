"""The plan of an experiment: what there is to measure, and what that takes. Needs no torch: a stage plans with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidetrip.config import Config
from sidetrip.experiments.work import Work


@dataclass(frozen=True)
class Plan:
    """Plan of an experiment.

    Attributes
    ----------
    name : str
        Of its stage and its folder.
    units : callable
        Of the configuration; what there is to measure, each independent of the others.
    work : callable
        Of the configuration and a unit; what the unit computes, and tells of as it goes.
    counted : str
        What `Work.passes` counts, for the progress bar.
    network : bool
        Whether units need a network; without one they run on processor cores, whatever `runtime.device` is.
    """

    name: str
    units: Callable[[Config], Sequence[Any]]
    work: Callable[[Config, Any], Work]
    counted: str = "pass"
    network: bool = True

    def units_of(self, config: Config) -> Sequence[Any]:
        """What there is to measure in a variant: nothing where it leaves the experiment out."""
        return [] if self.name in config.left_out else self.units(config)
