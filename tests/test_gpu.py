"""On a GPU: branching is exact there too, two runs give the same bits, and what is computed is what a CPU computes."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from helpers import advanced, assert_same_bits, branched_off, burnt_in, random_lab, smoke_config
from torch import nn

from sidetrip.checks.operations import check_operations
from sidetrip.config import ConfigError
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.lab import Lab
from sidetrip.engine.state import distance, initial_state, saved_steps
from sidetrip.engine.training import batch_loss
from sidetrip.experiments import evaluator
from sidetrip.experiments.registry import EXPERIMENTS
from sidetrip.experiments.units import BranchPoint
from sidetrip.files import read_json
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage
from sidetrip.runtime.devices import gpu_count
from sidetrip.runtime.pool import worker_devices
from sidetrip.runtime.provenance import PROVENANCE
from sidetrip.runtime.scratch import unit_folders
from sidetrip.runtime.units import Task, Worker, become, run_task, worker
from sidetrip.tables import FLOAT_FORMAT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
GPU = torch.device("cuda")


LABS = {
    "fp32": {"model.precision": "fp32"},
    "tf32": {"model.precision": "tf32"},
    "bf16": {"model.precision": "bf16"},
    # A network of torchvision, on random crops of mapped pictures.
    "crops": {"model.precision": "tf32", "model.name": "resnet18", "data.shift": 0, "data.crop": 0.25},
}


@pytest.fixture(scope="module", params=LABS)
def lab(request, tmp_path_factory):
    """A lab on the GPU, in a process that computes as its worker does."""
    changes = LABS[request.param]
    make_deterministic(changes["model.precision"])
    yield random_lab(tmp_path_factory.mktemp("data"), smoke_config(**changes), GPU)
    make_deterministic("fp32")


@pytest.fixture
def on_cpu(lab, tmp_path):
    """The same on the CPU, in single precision."""
    return Lab(replace(lab.config, model=replace(lab.config.model, precision="fp32")), lab.runs, torch.device("cpu"))


@pytest.fixture(scope="module")
def snapshots(lab):
    """Of a run whose branch points are there, too."""
    found = burnt_in(lab)
    branched_off(lab)
    return found


def test_from_snapshots_and_branch_points_the_main_trajectory_goes_on(lab, snapshots):
    """Bit for bit, to the last snapshot; branch points are replayed from snapshots, none of which is one here."""
    *steps, last = saved_steps(snapshots)
    starts = [lab.snapshot(0, step) for step in steps]
    starts += [lab.branch_point(0, step) for step in set(lab.config.branch.steps) - {*steps, last}]
    for start in starts:
        assert_same_bits(advanced(lab, start, last - start.step), lab.snapshot(0, last))


def test_every_experiment_writes_the_same_twice(lab, snapshots):
    point = BranchPoint(0, 20)
    rooms = [each for each in EXPERIMENTS if point in each.plan.units(lab.config)]

    def tables() -> list[str]:
        found = [table for room in rooms for table in room.part("measure").measure(lab, point).values()]
        assert all(map(len, found))
        return [table.to_csv(index=False, float_format=FLOAT_FORMAT) for table in found]

    assert tables() == tables()


def test_batches_are_those_of_a_cpu(lab, on_cpu):
    """Crops within a grey level, since sums of products are rounded to one; all else to rounding."""
    level = float(on_cpu.train._scale.max())
    for step in (1, 2, 50):
        (pictures, labels), (expected, theirs) = lab.stream(0).batch(step), on_cpu.stream(0).batch(step)
        assert torch.equal(labels.cpu(), theirs)
        apart = (pictures.cpu() - expected).abs()
        assert float(apart.max()) <= 1.01 * level
        assert float((apart > 0.5 * level).double().mean()) < 1e-3


def test_an_operation_that_is_not_deterministic_there_is_one_line(lab):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(5), nn.Flatten(), nn.Linear(100, 10)).to(GPU)
    with pytest.raises(ConfigError, match=r"^model.name = odd: cannot be measured on cuda:0 \(adaptive_avg_pool2d"):
        check_operations(network, lab.stream(0).batch(1), lab.optimizer.precision, "odd")


def test_losses_scores_and_averages_are_those_of_a_cpu(lab, on_cpu):
    """Of one state, to the rounding of the precision; training amplifies that, so runs are not compared."""
    start = initial_state(on_cpu.model(0))
    rounding = 2e-2 if lab.optimizer.precision == "bf16" else 2e-3
    losses = [float(batch_loss(b.model(0), b.stream(0).batch(1)).detach()) for b in (on_cpu, lab)]
    assert losses[1] == pytest.approx(losses[0], rel=rounding)
    ours = dict(evaluator.scores(lab, start))
    for split, score in evaluator.scores(on_cpu, start):
        assert ours[split].loss == pytest.approx(score.loss, rel=rounding), split
    average = RunningAverage(Kernel.ema(3, newest=0.5), 0)
    passed = []

    def note(position):
        passed.append({name: weight.double().cpu() for name, weight in position.weights.items()})

    advanced(lab, start, 3, [average, note], rates=[0.01] * 3)
    for name, found in average.weights().items():
        expected = sum(w * state[name] for w, state in zip(average.kernel.weights, passed, strict=True))
        assert torch.allclose(found.double().cpu(), expected, atol=1e-6), name


def test_one_worker_a_gpu():
    runtime = smoke_config().runtime
    assert worker_devices(runtime, 1000) == [f"cuda:{i}" for i in range(gpu_count())]


def _distance_on_worker(unit, folders):
    state = initial_state(torch.nn.Linear(2, 2).to(torch.device(worker().device)))
    return {"distances": pd.DataFrame({"distance": [distance(state, state)]})}


def test_a_result_names_the_gpu(tmp_path):
    become(Worker("cuda:0"), "fp32")
    run_task(Task(_distance_on_worker, 0, unit_folders(tmp_path, "unit"), 1))
    assert read_json(tmp_path / "unit" / PROVENANCE)["hardware"] == torch.cuda.get_device_name(0)
