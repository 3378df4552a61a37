"""Random masks of networks are a pure function of the batch, so branching and measuring are exact for them too."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import (
    advanced,
    assert_same_bits,
    random_lab,
    smoke_config,
    text_config,
    text_lab,
)
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


def run(stream, parts):
    device = stream.loader.device
    state = initial_state(network().to(device))
    for part in parts:
        state = advance(network().to(device), state, stream, part, OPTIMIZER)
    return state


def stream_of(lab, seed=0, name="train") -> TrainingStream:
    return lab.stream(seed, name, batch_size=16)


GPU = pytest.param("cuda:0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_run_in_parts_is_the_whole_run(tmp_path, device):
    lab = random_lab(tmp_path, smoke_config(), device)
    state_of_torch = torch_s_state(device)
    whole = run(stream_of(lab), [RATES])
    assert torch.equal(torch_s_state(device), state_of_torch)
    for cut in (0, 1, 4):
        torch.rand(cut + 3, device=device)  # whatever else was drawn meanwhile
        assert_same_bits(run(stream_of(lab), [RATES[:cut], RATES[cut:]]), whole)


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


def test_frozen_statistics_leave_the_masks_on():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Sequential(nn.BatchNorm2d(1)))
    single_step.set_training(model.eval(), by_batch=False)
    assert [module.training for module in model.modules()] == [True, False, True, True, False]
    single_step.set_training(model, by_batch=True)
    assert all(module.training for module in model.modules())


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import test_randomness as here
from sidetrip.runtime.units import Worker, become

become(Worker(), "fp32")
print(*here.digests(Path(sys.argv[1]), 2, 0))
"""


def digests(folder: Path, *seeds: int) -> list[str]:
    """Of the ends of runs in parts, and of a decoder's."""
    lab, text = random_lab(folder / "pictures", smoke_config()), text_config()
    text = replace(text, model=replace(text.model, width=48, heads=4), data=replace(text.data, context=32))
    decoder = text_lab(folder / "text", text)
    ends = [run(stream_of(lab, seed), [RATES[:seed], RATES[seed:]]) for seed in seeds]
    ends.append(advanced(decoder, initial_state(decoder.model()), 4))
    return [
        hashlib.sha256(b"".join(end.weights[name].numpy().tobytes() for name in sorted(end.weights))).hexdigest()
        for end in ends
    ]


def test_in_whichever_process_and_after_whatever_runs(tmp_path):
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "there")]
    path = os.pathsep.join(["src", ".", "tests", "tests/engine"])
    there = subprocess.check_output(command, env=os.environ | {"PYTHONPATH": path}, encoding="utf-8").split()
    here = digests(tmp_path / "here", 0, 1, 2)
    assert there == [here[2], here[0], here[3]]
    assert len(set(here)) == 4
