"""Random masks of networks are a pure function of the batch, so branching and measuring are exact for them too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import assert_same_bits, random_lab, smoke_config
from torch import nn

from sidetrip.engine.gradients import gradient
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.randomness import fixed_randomness
from sidetrip.engine.state import initial_state
from sidetrip.engine.streams import TrainingStream
from sidetrip.engine.training import advance, batch_loss
from sidetrip.experiments.fixed_batch.measure import FixedStream
from sidetrip.experiments.single_step import measure as single_step

CPU = torch.device("cpu")
RATES = [0.05] * 6
OPTIMIZER = SGD(momentum=0.9, weight_decay=5e-4)


def network() -> nn.Module:
    with fixed_randomness(CPU, "weights"):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, 2), nn.Dropout(0.3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
        )


def stream_of(lab, seed=0, name="train") -> TrainingStream:
    return lab.stream(seed, name, batch_size=16)


GPU = pytest.param("cuda:0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_run_in_parts_is_the_whole_run(tmp_path, device):
    lab, model = random_lab(tmp_path, smoke_config(), device), network().to(device)
    start, state_of_torch = initial_state(model), torch_s_state(device)
    whole = advance(model, start, stream_of(lab), RATES, OPTIMIZER)
    assert torch.equal(torch_s_state(device), state_of_torch)
    for cut in (0, 1, 4):
        torch.rand(cut + 3, device=device)  # whatever else was drawn meanwhile
        half = advance(model, start, stream_of(lab), RATES[:cut], OPTIMIZER)
        assert_same_bits(advance(model, half, stream_of(lab), RATES[cut:], OPTIMIZER), whole)


def torch_s_state(device: str) -> torch.Tensor:
    """Where torch's generator of a device stands."""
    return torch.get_rng_state() if device == "cpu" else torch.cuda.get_rng_state(device)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"name": "another"}, {"step": 2}])
def test_masks_are_those_of_the_seed_the_stream_and_the_step(lab, changed):
    """Of two batches of the same pictures."""
    seed, name, step = ({"seed": 0, "name": "train", "step": 1} | changed).values()
    batch = stream_of(lab).batch(1)
    other = replace(batch, key=stream_of(lab, seed, name).batch(step).key)
    assert not torch.equal(batch_loss(network(), batch), batch_loss(network(), other))


def test_one_batch_at_one_point_has_one_loss(lab):
    model, batch = network().train(), stream_of(lab).batch(1)
    expected = batch_loss(model, batch)
    torch.rand(5)
    again = batch_loss(model, batch)
    assert torch.equal(again, expected)
    assert all(map(torch.equal, gradient(again, model), gradient(expected, model)))
    assert FixedStream(batch).batch(7) is batch  # so steps on one batch go down one function


def test_masks_are_those_of_any_other_process():
    with fixed_randomness(CPU, "a key", 1):
        assert torch.randint(2**31, (2,)).tolist() == [1369723038, 1999798546]


def test_frozen_statistics_leave_the_masks_on():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Sequential(nn.BatchNorm2d(1)))
    single_step.set_training(model.eval(), by_batch=False)
    assert [module.training for module in model.modules()] == [True, False, True, True, False]
    single_step.set_training(model, by_batch=True)
    assert all(module.training for module in model.modules())
