"""All experiments, in the order in which they are shown; one that is added is a line here, and a folder.

An experiment lies in the folder of its name: plan.py (its `PLAN`), measure.py (`measure(lab, unit)`), and, where it has
verdicts and pages, verdict.py (`judge`, perhaps `STATEMENTS` and `derived`), figure.py (`draw`), section.md.j2 and
section.py (`facts`). Modules are loaded as they are asked for: plans do without pandas, pages without torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from sidetrip.config import Config
from sidetrip.experiments.plan import Plan


@dataclass(frozen=True)
class Experiment:
    """An entry of the registry."""

    name: str  # of its folder, its stage, and its key in `experiments`
    shown: bool = True  # whether it has verdicts, figures and a section of the report

    def part(self, name: str) -> ModuleType:
        """A module of its folder."""
        return import_module(f"sidetrip.experiments.{self.name}.{name}")

    @property
    def plan(self) -> Plan:
        """What there is to measure."""
        plan: Plan = self.part("plan").PLAN
        return plan


EXPERIMENTS = (
    Experiment("burn_in", shown=False),
    Experiment("branch", shown=False),
    Experiment("running_averages", shown=False),
    Experiment("single_step"),
    Experiment("fixed_batch"),
    Experiment("side_trips"),
    Experiment("divergence"),
    Experiment("alignment"),
    Experiment("curvature"),
    Experiment("replicas"),
    Experiment("mean_gradient"),
    Experiment("quadratic"),
    Experiment("forecast"),
)


def plans() -> list[Plan]:
    """The plans of all experiments."""
    return [experiment.plan for experiment in EXPERIMENTS]


def shown(config: Config | None = None) -> Iterator[Experiment]:
    """Experiments that have pages; those of one variant, if it is given."""
    left_out = config.left_out if config else ()
    return (each for each in EXPERIMENTS if each.shown and each.name not in left_out)
