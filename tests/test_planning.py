"""The plan counts the units that stages hand out, and no schedule beats its bounds."""

from pathlib import Path

import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sidetrip.config import resolve
from sidetrip.planning import makespan, table, units
from sidetrip.runtime.experiment import experiments

PARAMS = OmegaConf.load("params.yaml")
VARIANTS = list(PARAMS.variants)
WORK = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_experiment_but_the_analytic_model_is_counted(name):
    config = resolve(PARAMS, name)
    counted = units(config)
    assert counted.keys() == {experiment.name for experiment in experiments()} - {"quadratic"}
    for experiment in experiments():
        if experiment.name in counted:
            assert len(counted[experiment.name]) == len(experiment.units(config))


@given(WORK, st.integers(1, 40))
def test_a_schedule_lies_between_its_bounds(work, workers):
    mean, longest = sum(work) / workers, max(work)
    span = makespan(work, workers)
    assert max(mean, longest) <= span * (1 + 1e-9)
    assert span <= (mean + longest) * (1 + 1e-9)


@given(WORK)
def test_one_worker_does_everything(work):
    assert makespan(work, 1) == pytest.approx(sum(work))


def test_costly_units_go_first():
    assert makespan([1, 1, 1, 3], 2) == 3


@pytest.mark.parametrize(
    "change", [{"burn_in.steps": 80}, {"branch.points": [15, 20, 30]}, {"evaluation.train_samples": 500}]
)
def test_more_to_do_is_more_work(change):
    assert sum(map(sum, units(smoke_config(**change)).values())) > sum(map(sum, units(smoke_config()).values()))


def test_the_table_of_the_documentation_is_that_of_the_settings():
    printed = "\n".join(table([resolve(PARAMS, name) for name in VARIANTS]))
    assert printed in Path("docs/scaling.md").read_text(encoding="utf-8"), (
        "put in what `python -m sidetrip.planning` prints"
    )
