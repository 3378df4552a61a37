"""What is averaged of a snapshot, what is taken from the newest instead, and what cannot be merged.

Trainers put into a file, beside weights, what no average may touch: statistics of BatchNorm, states of optimizers,
integers. They are told by their names and types.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sidetrip.files import FileError
from sidetrip.number_formats import SIZES
from sidetrip.tensor_files import Snapshot, StoredTensor

BATCHNORM = "BatchNorm statistics"
STATISTICS = re.compile(r"(running|moving)_(mean|var|variance|std)|num_batches_tracked|batch_stats")
OPTIMIZER = re.compile(r"optim(izer)?(_states?)?|opt_state|exp_avg(_sq)?|max_exp_avg_sq|momentum_buffer")
STATE_GROUPS = ("weights", "buffers", "momentum")  # of a state that this package writes
INTEGERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
QUANTISED = re.compile("F8|F4|F6|[IU](8|16|32)$")  # types that hold codes where a scale lies beside them
SCALE = re.compile(
    r"((weight|input|w|q)_?)?(scales?|zeros?|zero_points?)(_inv)?|scale_(weight|input|inv)|absmax|SCB|quant_\w+"
)


def is_training_state(snapshot: Snapshot) -> bool:
    """Whether it is a state as this package writes it, with weights, buffers, momentum and the step."""
    groups = {name.partition("/")[0] for name in snapshot.tensors}
    return {"step", "weights"} <= groups <= {*STATE_GROUPS, "step"}


def reasons_to_copy(snapshot: Snapshot) -> dict[str, str]:
    """Why tensors are not averaged, by their names; those that are averaged have none."""
    in_state = is_training_state(snapshot)
    found = {}
    for name, tensor in snapshot.tensors.items():
        parts = re.split(r"[./]", name)
        if any(STATISTICS.fullmatch(part) for part in parts):
            found[name] = BATCHNORM
        elif in_state and not name.startswith("weights/"):
            found[name] = "buffers, momentum and step"
        elif not in_state and any(OPTIMIZER.fullmatch(part) for part in parts):
            found[name] = "states of an optimizer"
        elif tensor.dtype in INTEGERS:
            found[name] = "integers"
    return found


def are_averages(snapshot: Snapshot) -> bool:
    """Whether its weights are not iterates but an average of them already: torch's AveragedModel keeps their number."""
    return any(re.split(r"[./]", name)[-1] == "n_averaged" for name in snapshot.tensors)


def check_alike(snapshots: Sequence[Snapshot]) -> None:
    """Refuse snapshots whose names, shapes or types differ, and types that cannot be averaged."""
    first, *others = snapshots
    for other in others:
        _check_names(other, first)
        for name, tensor in other.tensors.items():
            if (tensor.dtype, tensor.shape) != (first.tensors[name].dtype, first.tensors[name].shape):
                raise FileError(
                    f"{other.path}: {name} is {tensor}, in {first.path} it is {first.tensors[name]}; "
                    "merge snapshots of one run, all of one type"
                )
    _check_types(first)


def _check_names(snapshot: Snapshot, first: Snapshot) -> None:
    for here, there in ((snapshot, first), (first, snapshot)):
        if odd := sorted(here.tensors.keys() - there.tensors.keys()):
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise FileError(
                f"{here.path}: has {odd[0]}{more}, {there.path} has not; merge snapshots of one run, or see --exclude "
                "and --rename"
            )


def _check_types(snapshot: Snapshot) -> None:
    modules = defaultdict(list)
    for name in snapshot.tensors:
        modules[_module(name)].append(name)
    for name, tensor in snapshot.tensors.items():
        nearby = [*modules.get(_module(name), ()), *modules.get(name, ())] if QUANTISED.match(tensor.dtype) else []
        if scale := next((other for other in nearby if _is_scale(other, name, snapshot.tensors)), None):
            raise FileError(
                f"{snapshot.path}: {name} ({tensor.dtype}) is quantised, {scale} is its scale, and codes have no "
                "average; merge the snapshots before they are quantised"
            )
        if tensor.dtype not in SIZES and tensor.dtype not in INTEGERS:
            raise FileError(
                f"{snapshot.path}: {name} is of type {tensor.dtype}, which is not averaged here; store the weights in "
                f"one of {', '.join(SIZES)}"
            )


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _is_scale(other: str, name: str, tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether a tensor is the scale or zero point of a quantised one.

    It is named after it ("q" and "q_scale"), or after its role beside the weight of a module ("layer.scales"). A gain
    that the model learns ("norm.scale") is of the type of the other weights.
    """
    if tensors[other].dtype == tensors[name].dtype:
        return False
    beside_weight = "weight" in name.rpartition(".")[2] and other.startswith(f"{_module(name)}.")
    role = other.rpartition(".")[2]
    own = other.removeprefix(name).lstrip("._") if other.startswith(name) else ""
    return bool(SCALE.fullmatch(own) or (beside_weight and SCALE.fullmatch(role)))
