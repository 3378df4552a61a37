"""The plan counts the units that stages hand out, and no schedule beats its bounds."""

import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sidetrip import planning
from sidetrip.config import resolve
from sidetrip.engine import training
from sidetrip.planning import Work, makespan, stages, table, units, work_of
from sidetrip.runtime.experiment import Experiment, declared, experiments, measure_in

PARAMS = OmegaConf.load("params.yaml")
VARIANTS = list(PARAMS.variants)
WORK = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_units_of_every_experiment_with_a_network_are_in_the_table(name):
    config = resolve(PARAMS, name)
    lines = [[cell.strip() for cell in line.split("|")[1:3]] for line in stages(config, 1000.0)]
    expected = {each.name: str(len(each.units_of(config))) for each in experiments() if each.network}
    assert expected.items() <= dict(lines).items()


def test_an_experiment_that_is_left_out_is_no_work():
    config = smoke_config(**{"experiments.alignment": False})
    (line,) = [line for line in stages(config, 1000.0) if "alignment" in line]
    assert line == "| alignment | 0 | 0 | 0 M | 0.0 |"


def test_an_experiment_without_a_record_of_its_work_is_named(monkeypatch):
    own = Experiment("own", lambda config: [1, 2], lambda config, unit: 1.0)
    monkeypatch.setattr(planning, "experiments", lambda: [*experiments(), own])
    assert [line for line in stages(smoke_config(), 1000.0) if "own" in line] == ["| own | 2 | not counted | | |"]


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
    more, less = smoke_config(**change), smoke_config()
    assert whole(more).total > whole(less).total


def whole(config) -> Work:
    return sum((work for found in units(config).values() for work in found), Work(0.0))


def counted(lab, experiment, unit) -> int:
    """Training steps of a unit, as they are taken."""
    steps, take = [], training.take_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "take_step", lambda *arguments: steps.append(take(*arguments)))
        measure_in(lab, experiment, unit, lab.folders)
    return len(steps)


@pytest.mark.parametrize("name", ["branch", "running_averages", "side_trips", "divergence"])
def test_a_unit_takes_the_steps_that_are_planned(lab, branched, name):
    for unit in [unit for unit in declared(name).units(lab.config) if unit.seed == 0][:2]:
        planned = work_of(lab.config)[name](unit).trained / lab.config.burn_in.batch_size
        assert counted(lab, name, unit) == planned


def test_minutes_of_the_stages_add_up():
    config = smoke_config()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in stages(config, 20_000.0)]
    rows = {name: cells for name, *cells in lines[2:]}
    assert int(rows["burn_in"][1]) == config.burn_in.steps * len(config.seeds)
    minutes = whole(config).total / 20_000 / 60
    assert float(rows["all"][3]) == pytest.approx(minutes, abs=0.06)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_gpu_variant_takes_an_hour_of_one_gpu_at_most(name):
    """At 20 000 training samples a second, an estimate for ResNet-34 in bfloat16 on an H100."""
    assert whole(resolve(PARAMS, name)).total / 20_000 / 60 <= 60


def test_the_table_has_a_row_for_each_variant_whose_work_more_workers_share():
    header, _, *rows = list(table([resolve(PARAMS, name) for name in ("smoke", "cifar10")], workers=[1, 2, 8]))
    names = [cell.strip() for cell in header.strip("|").split("|")]
    for row, name in zip(rows, ("smoke", "cifar10"), strict=True):
        found = dict(zip(names, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
        assert (found["variant"], found["on 1"]) == (name, found["work"])
        on = [float(found[f"on {workers}"].split()[0]) for workers in (1, 2, 8)]
        assert on[0] > on[1] >= on[0] / 2
        assert on[1] > on[2] >= on[0] / 8
