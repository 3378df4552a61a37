"""The complete training state, and arithmetic on it.

Continue from a `TrainState` at the same rate on the same stream and the run is on its main
trajectory bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from sidetrip.files import read_bytes, write_bytes

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class TrainState:
    """Weights, buffers, step and the optimizer's state of a run.

    Attributes
    ----------
    step : int
        Optimizer steps taken since initialisation.
    weights : dict of str to Tensor
        What training moves, and so all that is averaged, compared and stepped along; see `trained`.
    buffers : dict of str to Tensor
        All else that the model is made of: BatchNorm statistics, frozen parameters, integers.
    optimizer : dict of str to dict of str to Tensor
        What the optimizer keeps, by its `slots` ("momentum"; or "first_moment", "second_moment"), each by the names of
        `weights`. Its count of steps is `step`.

    The names of tensors are those of `nn.Module.named_parameters` and `named_buffers`. The tensors belong to the state
    alone: nothing else writes to them.
    """

    step: int
    weights: Tensors
    buffers: Tensors
    optimizer: dict[str, Tensors]


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a model that training moves, by name: those that require a gradient."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def initial_state(model: nn.Module) -> TrainState:
    """State of `model` before its first step; what an optimizer keeps then begins at zero (`optimizers.kept_by`)."""
    return capture(model, {}, step=0)


def capture(model: nn.Module, kept: Mapping[str, Tensors], step: int) -> TrainState:
    """Copy out the present state of `model`, and what the optimizer keeps."""
    moved = trained(model)
    others = {name: p for name, p in model.named_parameters() if name not in moved} | dict(model.named_buffers())
    return TrainState(
        step=step,
        weights={name: p.detach().clone() for name, p in moved.items()},
        buffers={name: b.detach().clone() for name, b in others.items()},
        optimizer={slot: {name: tensor.clone() for name, tensor in named.items()} for slot, named in kept.items()},
    )


@torch.no_grad()
def restore(state: TrainState, model: nn.Module) -> None:
    """Copy weights and buffers of `state` into `model`.

    Raises
    ------
    ValueError
        If the state belongs to another architecture.
    """
    targets = dict(model.named_parameters()) | dict(model.named_buffers())
    values = state.weights | state.buffers
    if targets.keys() != values.keys():
        odd = sorted(targets.keys() ^ values.keys())
        raise ValueError(f"the state is of another architecture: {len(odd)} names differ, first {odd[0]!r}")
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise ValueError(
                f"the state is of another architecture: {name!r} has shape {tuple(values[name].shape)}, "
                f"the model {tuple(target.shape)}"
            )
        target.copy_(values[name])


def with_weights(state: TrainState, weights: Tensors) -> TrainState:
    """`state` with other weights (its buffers then need recalibration)."""
    return replace(state, weights=weights)


def lerp(start: TrainState, end: TrainState, alpha: float) -> TrainState:
    """Weights (1 - α) start + α end, exact at both ends; all else is that of `start`."""
    weights = {name: (1.0 - alpha) * w + alpha * end.weights[name] for name, w in start.weights.items()}
    return with_weights(start, weights)


def distance(a: TrainState, b: TrainState) -> float:
    """Euclidean distance of the weights, accumulated in float64 in the order of their names, then of their indices.

    A state that was loaded has its tensors, and the numbers in them, in another order than one that was trained. The
    root is Python's, which rounds correctly: torch's for whole tensors starts from an approximation that differs
    between processors.
    """
    differences = (a.weights[name].double() - b.weights[name].double() for name in sorted(a.weights))
    squares = [difference.contiguous().square().sum() for difference in differences]
    return math.sqrt(float(torch.stack(squares).sum()))


def save_state(state: TrainState, path: Path) -> None:
    """Write the state as safetensors, atomically; the bytes depend on the values alone.

    The names are weights/NAME, buffers/NAME and, of the optimizer, SLOT/NAME.
    """
    groups = {"weights": state.weights, "buffers": state.buffers, **state.optimizer}
    tensors = {f"{group}/{name}": t.cpu().contiguous() for group, named in groups.items() for name, t in named.items()}
    tensors["step"] = torch.tensor(state.step)
    write_bytes(path, save(tensors))


def load_state(path: Path, device: torch.device | str = "cpu") -> TrainState:
    """Read a state written by `save_state` into a sealed folder.

    Raises
    ------
    FileError
        If the file is missing or damaged.
    """
    tensors = load(read_bytes(path))
    groups: dict[str, Tensors] = {"weights": {}, "buffers": {}}
    step = int(tensors.pop("step"))
    for name, tensor in tensors.items():
        group, _, inner = name.partition("/")
        groups.setdefault(group, {})[inner] = tensor.to(device)
    return TrainState(step, groups.pop("weights"), groups.pop("buffers"), groups)


def state_path(folder: Path, step: int) -> Path:
    """Where the state of a step lies in a folder of states."""
    return folder / f"step_{step:06d}.safetensors"


def saved_steps(folder: Path) -> list[int]:
    """Steps whose states lie in a folder, ascending."""
    return sorted(int(path.stem.removeprefix("step_")) for path in folder.glob("step_*.safetensors"))
