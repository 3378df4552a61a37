"""What is averaged of a snapshot, what is taken from the newest instead, and what cannot be merged.

Trainers put into a file, beside weights, what no average may touch: statistics of BatchNorm, states of optimizers,
integers. They are told by their names and types.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from sidetrip.files import FileError
from sidetrip.number_formats import SIZES
from sidetrip.tensor_files import MERGED_STEPS, Snapshot

BATCHNORM = "BatchNorm statistics"
STATISTICS = re.compile(r"(running|moving)_(mean|var|variance|std)|num_batches_tracked|batch_stats")
OPTIMIZER = re.compile(r"optim(izer)?(_states?)?|opt_state|exp_avg(_sq)?|max_exp_avg_sq|momentum_buffer")
INTEGERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
QUANTISED = re.compile("F8|F4|F6|[IU](8|16|32)$")  # types that hold codes where a scale lies beside them
CODES = re.compile(r".*weight.*|W_q|codes|_?q?data|.*_blocks")  # names of quantised tensors in their modules
SCALE = re.compile(
    r"_?((weight|input|w|q)_?)?(scales?|zeros?|zero_points?)(_inv|_max)?|scale_(weight|input|inv)|absmax|SCB"
    r"|codebooks|quant_\w+"
)


def is_training_state(snapshot: Snapshot) -> bool:
    """Whether it is a state as this package writes it: the step, and groups of tensors, of which one is the weights."""
    names = snapshot.tensors.keys() - {"step"}
    groups = {name.partition("/")[0] for name in names}
    return len(names) < len(snapshot.tensors) and "weights" in groups and all("/" in name for name in names)


def reasons_to_copy(snapshot: Snapshot) -> dict[str, str]:
    """Why tensors are not averaged, by their names; those that are averaged have none."""
    in_state = is_training_state(snapshot)
    found = {}
    for name, tensor in snapshot.tensors.items():
        parts = re.split(r"[./]", name)
        if any(STATISTICS.fullmatch(part) for part in parts):
            found[name] = BATCHNORM
        elif in_state and not name.startswith("weights/"):
            found[name] = "buffers, step and what the optimizer keeps"
        elif not in_state and any(OPTIMIZER.fullmatch(part) for part in parts):
            found[name] = "states of an optimizer"
        elif tensor.dtype in INTEGERS:
            found[name] = "integers"
    return found


def are_averages(snapshot: Snapshot) -> bool:
    """Whether its weights are not iterates but an average of them: one that was merged, or torch's AveragedModel."""
    counted = any(re.split(r"[./]", name)[-1] == "n_averaged" for name in snapshot.tensors)
    return counted or MERGED_STEPS in snapshot.metadata


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
        if scale := next((other for other in nearby if _is_scale(other, name)), None):
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


def _is_scale(other: str, name: str) -> bool:
    """Whether a tensor is the scale or zero point of a quantised one.

    It is named after it ("q" and "q_scale", "up_blocks" and "up_scales"), or after its role beside the codes of a
    module ("layer.scales"). A gain that the model learns ("norm.scale") lies beside weights that are no codes.
    """
    if other == name:
        return False
    beside_codes = bool(CODES.fullmatch(name.rpartition(".")[2])) and other.startswith(f"{_module(name)}.")
    role, stem = other.rpartition(".")[2], name.removesuffix("_blocks")
    own = other.removeprefix(stem).lstrip("._") if other.startswith(stem) else ""
    return bool(SCALE.fullmatch(own) or (beside_codes and SCALE.fullmatch(role)))
