"""The plan of an experiment: what there is to measure, and what that takes. Needs no torch: a stage plans with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidetrip.config import Config
from sidetrip.experiments.work import Work


@dataclass(frozen=True)
class Plan:
    """Plan of an experiment."""

    name: str  # of its stage and its folder
    units: Callable[[Config], Sequence[Any]]  # what there is to measure, each independent of the others
    work: Callable[[Config, Any], Work]  # what a unit computes, and tells of as it goes
    counted: str = "pass"  # what `Work.passes` counts, for the progress bar
    network: bool = True  # whether units need one; else they run on processor cores, whatever `runtime.device` is

    def units_of(self, config: Config) -> Sequence[Any]:
        """What there is to measure in a variant: nothing where it leaves the experiment out."""
        return [] if self.name in config.left_out else self.units(config)
