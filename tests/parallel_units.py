"""Units that the ranks of tests run: importable there by name."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from sidetrip.config import Config
from sidetrip.engine.lab import Lab
from sidetrip.engine.parallel import ranks
from sidetrip.engine.parallel.batchnorm import use_whole_batch
from sidetrip.engine.state import TrainState, initial_state, save_state
from sidetrip.engine.training import Position, advance
from sidetrip.experiments import alignment, side_trips
from sidetrip.experiments.evaluator import evaluator
from sidetrip.files import FileError, UnitFolders
from sidetrip.measure.evaluation import score
from sidetrip.runtime.units import worker

STEPS = 24
# In float32 a small rate: a unit that is within rounding of 0 is on in one run and off in the other, which changes a
# gradient by a thousandth, and at the rate of the smoke variant the run is chaotic. It still moves by some 0.01.
RATES = {torch.float64: 0.05, torch.float32: 5e-5}
LAYERS = {
    "2d": (lambda: nn.BatchNorm2d(5), (24, 5, 4, 3)),
    "1d": (lambda: nn.BatchNorm1d(5), (24, 5)),
    "cumulative": (lambda: nn.BatchNorm2d(5, momentum=None), (24, 5, 4, 3)),
    "not affine": (lambda: nn.BatchNorm2d(5, affine=False), (24, 5, 4, 3)),
    "not tracked": (lambda: nn.BatchNorm2d(5, track_running_stats=False), (24, 5, 4, 3)),
}


class _In:
    """A stream in another floating type."""

    def __init__(self, stream, dtype: torch.dtype) -> None:
        self._stream, self._dtype = stream, dtype

    def batch(self, step: int, part: slice = slice(None)):
        batch = self._stream.batch(step, part)
        return replace(batch, inputs=batch.inputs.to(self._dtype))


def bench_of(config: Config, device: torch.device) -> Lab:
    return Lab(config, Path("data"), device)


def trained(lab: Lab, dtype: torch.dtype, parts: tuple[int, ...] = (STEPS,)) -> tuple[TrainState, list[float]]:
    """The state after all parts, taken up anew in between, and the batch losses."""
    losses: list[float] = []

    def note(position: Position) -> None:
        if position.loss is not None:
            losses.append(position.loss)

    state = initial_state(lab.model(0).to(dtype))
    for steps in parts:
        rates = [RATES[dtype]] * steps
        state = advance(lab.model().to(dtype), state, _In(lab.stream(0), dtype), rates, lab.optimizer, [note])
    return state, losses


def training(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """Every rank leaves its end in ends/; the first one leaves the losses as its result."""
    state, losses = trained(bench_of(config, torch.device(worker().device)), getattr(torch, case))
    save_state(state, Path("ends") / f"{case}_{ranks().rank}")
    return {"losses": pd.DataFrame({"loss": losses})}


def in_parts(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """A short run, and the same taken up twice on the way."""
    lab = bench_of(config, torch.device(worker().device))
    for name, parts in {"whole": (12,), "parts": (5, 1, 6)}.items():
        state, _ = trained(lab, torch.float32, parts)
        if folders.is_writer:
            save_state(state, Path("ends") / name)
    return {}


def normalised(layer: nn.Module, x: torch.Tensor, dy: torch.Tensor, together: bool) -> dict[str, torch.Tensor]:
    """What forward and backward passes give; of all ranks together where x and dy are this rank's parts."""
    x = x.clone().requires_grad_()
    layer(2.0 * x.detach() + 1.0)  # so that the buffers have a past
    y = layer(x)
    (y * dy).sum().backward()
    of_layer = {f"gradient of {name}": p.grad for name, p in layer.named_parameters()}
    of_samples = {"y": y, "gradient of x": x.grad}
    if together:
        of_layer = {name: ranks().sum(gradient) for name, gradient in of_layer.items()}
        of_samples = {name: ranks().gather(value).transpose(0, 1).flatten(0, 1) for name, value in of_samples.items()}
    return {
        name: value.detach().double() for name, value in (of_layer | of_samples | dict(layer.named_buffers())).items()
    }


def layers(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """Relative differences of each kind of BatchNorm over the ranks from PyTorch's own on the whole batch."""
    rows = []
    for kind, (make, shape) in LAYERS.items():
        for dtype in (torch.float64, torch.float32):
            random = torch.Generator().manual_seed(0)
            # Far from 0 for its spread: a variance from sums of squares would be lost in rounding.
            x, dy = torch.randn(2, *shape, generator=random, dtype=torch.float64).to(dtype)
            x += 300.0
            layer, ours = make().to(dtype), make().to(dtype)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, 0.5, 2.0, generator=random)
            ours.load_state_dict(layer.state_dict())
            together = use_whole_batch(ours, ranks())
            assert list(together.state_dict()) == list(layer.state_dict())
            found = normalised(together, x[ranks().part], dy[ranks().part], together=True)
            expected = normalised(layer.double(), x.double(), dy.double(), together=False)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                error = float((found[name] - value).abs().max() / value.abs().max())
                rows.append((kind, str(dtype).removeprefix("torch."), name, error))
    return {"differences": pd.DataFrame(rows, columns=["layer", "dtype", "what", "error"])}


def apart(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """Ranks that start at different steps, then at different weights."""
    lab, said = bench_of(config, torch.device(worker().device)), []
    model = lab.model(0)
    start = initial_state(model)
    for odd in (replace(start, step=1), initial_state(lab.model(1))):
        try:
            advance(model, odd if ranks().rank == 1 else start, lab.stream(0), [], lab.optimizer)
        except RuntimeError as error:
            said.append(str(error))
    return {"said": pd.DataFrame({"line": said})}


def measured(lab: Lab) -> dict[str, float]:
    """What is measured of one state: scores on both splits and on batches, gradients."""
    start = initial_state(lab.model(0))
    found = {}
    for split, value in evaluator(lab)(start):
        found |= {f"{split} loss": value.loss, f"{split} accuracy": value.accuracy}
    found["loss on batches"], found["accuracy on batches"] = side_trips._on_batches(lab, 0, start)
    tables = alignment.measure(lab, start, 0)
    first = tables["alignment"].query("trip == 'linear' and trip_step == 0")[list(alignment.MEASURED)].iloc[0]
    between = tables["between_trips"].iloc[0].drop(["seed", "branch"])
    return found | {f"alignment {name}": float(value) for row in (first, between) for name, value in row.items()}


def shared(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """What is measured over the ranks, and the samples that the first one scored."""
    lab = bench_of(config, torch.device(worker().device))
    found = measured(lab)
    model, seen = nn.Flatten(), []
    model.register_forward_hook(lambda module, arguments, output: seen.append(len(arguments[0])))
    score(model, evaluator(lab).splits["validation"])
    found["scored here"] = sum(seen)
    return {"measured": pd.DataFrame({"what": list(found), "value": list(found.values())})}


def full_disk(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    """The first rank fails while the others wait for it."""
    if folders.is_writer:
        raise FileError("somewhere: cannot be written (No space left on device); make room")
    ranks().sum(torch.zeros(1, device=torch.device(worker().device)))
    return {}


def unit(config: Config, case: str, folders: UnitFolders) -> dict[str, pd.DataFrame]:
    others = {"layers": layers, "in_parts": in_parts, "apart": apart, "shared": shared, "full_disk": full_disk}
    return others.get(case, training)(config, case, folders)
