"""The plan counts the units that stages hand out, and no schedule beats its bounds."""

import pytest
from helpers import smoke_config
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sidetrip.config import resolve
from sidetrip.experiments.registry import plans
from sidetrip.experiments.work import TRAINING, Work
from sidetrip.planning import makespan, stages, table, units

PARAMS = OmegaConf.load("params.yaml")
WORK = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)
SPEED = 20_000.0  # training samples a second


def whole(config) -> Work:
    return sum((work for found in units(config).values() for work in found), Work())


def minutes(config) -> float:
    return whole(config).passes / TRAINING / SPEED / 60


def rows(config) -> dict[str, list[str]]:
    """Cells of the table of stages, by stage."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in stages(config, SPEED)]
    return {name: cells for name, *cells in lines[2:]}


def test_an_experiment_that_is_left_out_is_no_work():
    assert rows(smoke_config(**{"experiments.alignment": False}))["alignment"] == ["0", "0", "0 M", "0.0"]


@given(WORK, st.integers(1, 40))
def test_a_schedule_lies_between_its_bounds(work, workers):
    mean, longest = sum(work) / workers, max(work)
    span = makespan(work, workers)
    assert max(mean, longest) <= span * (1 + 1e-9)
    assert span <= (mean + longest) * (1 + 1e-9)
    assert makespan(work, 1) == pytest.approx(sum(work))


def test_costly_units_go_first():
    assert makespan([1, 1, 1, 3], 2) == 3


def test_every_stage_with_a_network_is_a_row_and_their_minutes_add_up():
    config = smoke_config()
    found = rows(config)
    units_of = {plan.name: str(len(plan.units_of(config))) for plan in plans() if plan.network}
    assert units_of.items() <= {stage: cells[0] for stage, cells in found.items()}.items()
    assert int(found["burn_in"][1]) == config.burn_in.steps * len(config.seeds)
    assert float(found["all"][3]) == pytest.approx(minutes(config), abs=0.06)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_gpu_variant_takes_an_hour_of_one_gpu_at_most(name):
    """At an estimated speed for ResNet-34 in bfloat16 on an H100."""
    config = resolve(PARAMS, name)
    assert minutes(config) <= 60, "\n".join([f"shorten something in {name}:", *stages(config, SPEED)])


def test_the_table_has_a_row_for_each_variant_whose_work_more_workers_share():
    header, _, *lines = list(table([resolve(PARAMS, name) for name in ("smoke", "cifar10")]))
    names = [cell.strip() for cell in header.strip("|").split("|")]
    for line, name in zip(lines, ("smoke", "cifar10"), strict=True):
        found = dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        assert (found["variant"], found["on 1"]) == (name, found["work"])
        on = [float(found[f"on {workers}"].split()[0]) for workers in (1, 2, 8)]
        assert on[0] > on[1] >= on[0] / 2
        assert on[1] > on[2] >= on[0] / 8
