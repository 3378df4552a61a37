"""Steps are torch's; an average of a run is its trip, whatever the optimizer; its state goes with a branch."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import assert_same_bits, smoke_config
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from test_kernels import kernels
from torch import nn

from benchmarks.floors import torch_optimizer
from sidetrip.engine.batch import Batch
from sidetrip.engine.gradients import gradient
from sidetrip.engine.lab import Lab
from sidetrip.engine.optimizers import SGD, AdamW, next_direction, optimizer_of
from sidetrip.engine.state import initial_state, load_state, restore, save_state, trained
from sidetrip.engine.training import advance, batch_loss
from sidetrip.files import sealing
from sidetrip.measure.averaging import RunningAverage

WITHOUT_DECAY = {
    "plain": SGD(),
    "sgd": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "adamw": AdamW(betas=(0.8, 0.9)),
    "sgd, clipped": SGD(momentum=0.9, clip=1.0),
    "adamw, clipped": AdamW(betas=(0.8, 0.9), clip=1.0),
}
OPTIMIZERS = [replace(optimizer, weight_decay=0.05) for optimizer in WITHOUT_DECAY.values()]
IDS = list(WITHOUT_DECAY)
BEFORE = 5  # steps before the branch point, so that its optimizer has a past


class Slopes:
    """Constant gradients, another one for each step."""

    def __init__(self, steps: int, seed: int) -> None:
        self.values = torch.randn(steps, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def batch(self, step):
        return Batch(self.values[step - 1], torch.empty(0))


def linear(model, batch, precision):
    return (model.weight * batch.inputs).sum()


def branch(optimizer, rates, kernel, seed):
    """Branch point, average and end of the trip, of weights under constant gradients, and the stream."""
    stream, model = Slopes(BEFORE + kernel.steps, seed), nn.Linear(3, 1, bias=False, dtype=torch.float64)
    start = advance(model, initial_state(model), stream, [0.1] * BEFORE, optimizer, loss=linear)
    average = RunningAverage(kernel, start.step)
    advance(model, start, stream, rates.tolist(), optimizer, [average], loss=linear)
    trip = advance(model, start, stream, (rates * kernel.schedule().multipliers).tolist(), optimizer, loss=linear)
    return start.weights["weight"], average.weights()["weight"], trip.weights["weight"], stream


@pytest.mark.parametrize("optimizer", WITHOUT_DECAY.values(), ids=IDS)
@settings(max_examples=15)
@given(kernel=kernels(), seed=st.integers(0, 2**31))
def test_average_equals_trip_on_a_linear_loss(optimizer, kernel, seed):
    """No tolerance to hide in: constant gradients, float64, rates that change, the optimizer's state carried over."""
    rates = np.random.default_rng(seed).uniform(0.01, 0.2, kernel.steps)
    _, average, trip, _ = branch(optimizer, rates, kernel, seed)
    assert (average - trip).abs().max() < 1e-12 * max(1.0, np.abs(kernel.weights).sum())


@settings(max_examples=25)
@given(kernel=kernels(), seed=st.integers(0, 2**31))
def test_decoupled_decay_bends_it_as_the_formula_says(kernel, seed):
    rate, decay, rates = 0.1, 1e-5, np.full(kernel.steps, 0.1)
    optimizer = AdamW(betas=(0.8, 0.9), weight_decay=decay)
    start, average, trip, stream = branch(optimizer, rates, kernel, seed)
    weights, model = [], nn.Linear(3, 1, bias=False, dtype=torch.float64)

    def note(position):
        weights.append(position.weights["weight"][0].clone())

    every = [rate] * (BEFORE + kernel.steps)
    advance(model, initial_state(model), stream, every, replace(optimizer, weight_decay=0.0), [note], loss=linear)
    updates = -torch.stack(weights[BEFORE:]).diff(dim=0).numpy() / rate
    s = kernel.schedule().multipliers
    after = np.append(np.cumsum(s[::-1])[::-1][1:], 0.0)
    expected = rate**2 * decay * (((1 - s) * after)[:, None] * updates).sum(axis=0)
    reach = (1 + np.abs(s)) * rate
    second_order = (decay * reach.sum()) ** 2 * (float(start.abs().max()) + (reach[:, None] * np.abs(updates)).sum())
    assert np.abs((average - trip)[0].numpy() - expected).max() <= second_order + 1e-12 * np.abs(kernel.weights).sum()


# Against torch's own classes


class Noise:
    """Random pictures, fewer classes than a network could tell apart."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self._dtype = dtype

    def batch(self, step):
        random = torch.Generator().manual_seed(step)
        x = torch.randn(8, 3, 5, 5, generator=random, dtype=self._dtype).to(memory_format=torch.channels_last)
        return Batch(x, torch.randint(4, (8,), generator=random))


def small_network(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4))
    return model.to(dtype).to(memory_format=torch.channels_last)


def by_torch(optimizer, dtype, steps, rate, warm_up, **form) -> dict[str, torch.Tensor]:
    """Weights after a loop as one writes it, with torch's class, scheduler and clipping."""
    model, stream = small_network(dtype), Noise(dtype)
    own = torch_optimizer(model, optimizer, rate, **form)
    scheduler = torch.optim.lr_scheduler.LambdaLR(own, lambda done: min(1.0, (done + 1) / warm_up))
    for step in range(1, steps + 1):
        own.zero_grad()
        nn.functional.cross_entropy(model(stream.batch(step).inputs), stream.batch(step).targets).backward()
        if optimizer.clip:
            nn.utils.clip_grad_norm_(model.parameters(), optimizer.clip)
        own.step()
        scheduler.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
def test_steps_are_those_of_torch(optimizer, dtype):
    """Bit for bit those of the same form; in double precision, to rounding those of AdamW's plain form too."""
    steps, rate, warm_up = 50, 0.02, 10
    rates = [rate * min(1.0, (done + 1) / warm_up) for done in range(steps)]
    model = small_network(dtype)
    found = advance(model, initial_state(model), Noise(dtype), rates, optimizer).weights
    fused = {"fused": True} if isinstance(optimizer, AdamW) else {}
    for name, weight in by_torch(optimizer, dtype, steps, rate, warm_up, **fused).items():
        assert torch.equal(weight, found[name]), name
    if fused and dtype == torch.float64:
        for name, weight in by_torch(optimizer, dtype, steps, rate, warm_up, foreach=False).items():
            torch.testing.assert_close(weight, found[name], rtol=1e-9, atol=1e-9)


def test_adamw_takes_roots_that_are_rounded_alike_on_every_processor():
    random = np.random.default_rng(0)
    gradient, before = (random.standard_normal(100_003).astype(np.float32) for _ in range(2))
    weights, first, second = torch.zeros(len(gradient)), torch.zeros(len(gradient)), torch.from_numpy(before**2)
    optimizer = AdamW(betas=(0.0, 0.99), eps=0.0)
    optimizer.update([weights], [torch.from_numpy(gradient)], [[first], [second]], 1.0, 10**7)
    assert np.array_equal(weights.numpy(), -(gradient / np.sqrt(second.numpy())))


# On branches


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
def test_a_run_in_parts_and_over_the_disk_is_the_whole_run(lab, optimizer, tmp_path):
    rates, stream = [0.01 * (i + 1) for i in range(6)], lab.stream(0)
    whole = advance(lab.model(), initial_state(lab.model(0)), stream, rates, optimizer)
    start = advance(lab.model(), initial_state(lab.model(0)), stream, rates[:2], optimizer)
    before = copy.deepcopy(start)
    with sealing(tmp_path / "states") as folder:
        save_state(start, folder / "state.safetensors")
    path = tmp_path / "states" / "state.safetensors"
    with safe_open(path, "pt") as file:
        groups = {name.partition("/")[0] for name in file.keys()}  # noqa: SIM118
    assert groups == {"step", "weights", "buffers", *optimizer.slots}
    loaded = load_state(path)
    assert_same_bits(loaded, start)
    save_state(loaded, tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    for state in (start, loaded):
        assert_same_bits(advance(lab.model(), state, stream, rates[2:], optimizer), whole)
    assert_same_bits(start, before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
def test_the_next_direction_is_what_the_next_step_takes(optimizer):
    model, rate = small_network(), 0.02
    start = advance(model, initial_state(model), Noise(), [rate] * 3, optimizer)
    before, end = copy.deepcopy(start), advance(model, start, Noise(), [rate], optimizer)
    restore(start, model)
    gradients = dict(zip(trained(model), gradient(batch_loss(model, Noise().batch(4)), model), strict=True))
    for name, direction in next_direction(start, gradients, optimizer).items():
        torch.testing.assert_close(start.weights[name] - rate * direction, end.weights[name], rtol=1e-12, atol=1e-12)
    assert_same_bits(start, before)


def test_the_state_of_another_optimizer_is_refused():
    model = small_network()
    start = advance(model, initial_state(model), Noise(), [0.1], SGD(momentum=0.9))
    with pytest.raises(ValueError, match=r"it keeps momentum, not first_moment, second_moment; go on"):
        advance(model, start, Noise(), [0.1], AdamW())
    assert not advance(model, start, Noise(), [0.1], SGD()).optimizer  # which keeps nothing, and needs nothing


# From the settings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", SGD(momentum=0.8, weight_decay=0.1, clip=2.0, precision="bf16")),
        ("nesterov", SGD(momentum=0.8, nesterov=True, weight_decay=0.1, clip=2.0, precision="bf16")),
        ("adamw", AdamW(betas=(0.7, 0.6), eps=1e-5, weight_decay=0.1, clip=2.0, precision="bf16")),
    ],
)
def test_the_settings_name_an_optimizer(name, expected):
    chosen = {"name": name, "momentum": 0.8, "betas": [0.7, 0.6], "eps": 1e-5, "weight_decay": 0.1}
    settings = {f"burn_in.optimizer.{key}": value for key, value in chosen.items()}
    assert optimizer_of(smoke_config(**settings, **{"burn_in.clip": 2.0}).burn_in, "bf16") == expected


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_rate_rises_to_its_schedule(tmp_path, schedule):
    plain, rising = (
        Lab(
            smoke_config(**{"burn_in.schedule": schedule, "burn_in.warm_up": steps}), tmp_path, torch.device("cpu")
        ).rates
        for steps in (0, 4)
    )
    np.testing.assert_allclose(rising / plain, [0.25, 0.5, 0.75, *[1.0] * 37], rtol=1e-15)
