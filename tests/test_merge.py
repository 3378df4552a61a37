"""Merging files: the numbers of a plain sum in double precision, in little memory, whole or not at all."""

import argparse
import json
import math
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_tensor_files import sharded
from torch.distributed import checkpoint as distributed

from sidetrip.engine.optimizers import SGD, AdamW
from sidetrip.engine.state import TrainState, load_state, save_state, state_path
from sidetrip.files import FileError, seal
from sidetrip.kernels import Kernel, Schedule
from sidetrip.merge import main
from sidetrip.merged_output import write_merged
from sidetrip.snapshots import nearest_average
from sidetrip.tensor_files import header_bytes, read_snapshot
from sidetrip.weighted_sum import BLOCK

STEPS = (100, 200, 400)
COEFFICIENTS = nearest_average(STEPS, Schedule.linear(300)).coefficients.tolist()
MERGE = ["--decay", "linear", "--over", "300"]
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
NOT_AVERAGED = {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "positions"}


def tensors(step, dtype=torch.float32):
    random = torch.Generator().manual_seed(step)
    return {
        "layer.weight": torch.randn(7, BLOCK // 3, generator=random).to(dtype),  # several blocks, the last one shorter
        "bn.weight": torch.randn(5, generator=random).to(dtype),
        "bn.running_mean": torch.randn(5, generator=random),
        "bn.running_var": torch.rand(5, generator=random).to(dtype),
        "bn.num_batches_tracked": torch.tensor(step),
        "positions": torch.arange(3) + step,
        "empty": torch.zeros(0, 3, dtype=dtype),
        "scalar": torch.randn((), generator=random).to(dtype),
        "λ": torch.ones(3, dtype=torch.bfloat16),
    }


def paths_of(folder):
    return [folder / f"checkpoint-{step}.safetensors" for step in STEPS]


def saved(folder, of_step, metadata=None):
    """Snapshots with tensors that a function of the step makes."""
    for step, path in zip(STEPS, paths_of(folder), strict=True):
        save_file(of_step(step), path, metadata)
    return paths_of(folder)


def written(folder, dtype=torch.float32):
    return saved(folder, lambda step: tensors(step, dtype), {"format": "pt"})


def merge(*arguments):
    main([str(argument) for argument in arguments])


def merged(paths, *options):
    """Tensors of the merge, beside the snapshots."""
    output = paths[0].with_name("merged.safetensors")
    merge(*paths, *options, "--output", output)
    return load_file(output)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        merge(*arguments)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def assert_rounded_once(found, exact):
    """No farther from the sum than torch's own rounding, which goes by way of single precision, and mostly the same."""
    rounded = exact.to(found.dtype)
    missed, allowed = (found.double() - exact).abs(), (rounded.double() - exact).abs()
    assert (missed <= allowed).all()
    assert ((found.double() != rounded.double()) & (missed == allowed)).sum() == 0
    assert (found.double() != rounded.double()).double().mean() < 1e-2 or found.numel() < 100


@pytest.mark.parametrize(
    ("dtype", "asked"), [*((dtype, None) for dtype in FLOATS), *((torch.float32, dtype) for dtype in FLOATS)], ids=str
)
def test_it_is_the_plain_sum_in_double_precision(dtype, asked, tmp_path, capsys):
    """In the type of the snapshots, or in another on request."""
    paths = written(tmp_path, dtype)
    options = ["--dtype", str(asked).removeprefix("torch.")] if asked else []
    found, stored = merged(paths[::-1], *MERGE, *options), [load_file(path) for path in paths]
    assert found.keys() == stored[-1].keys()
    for name, newest in stored[-1].items():
        if name in NOT_AVERAGED:
            assert found[name].dtype == newest.dtype
            assert torch.equal(found[name].double(), newest.double())
            continue
        assert found[name].dtype == (asked or newest.dtype)
        parts = [c * snapshot[name].double() for c, snapshot in zip(COEFFICIENTS, stored, strict=True)]
        exact = parts[0] + parts[1] + parts[2]
        assert_rounded_once(found[name], exact)
        if found[name].dtype in (torch.float64, torch.float32):
            assert torch.equal(found[name], exact.to(found[name].dtype))
    said = capsys.readouterr().out
    assert "3 tensors, BatchNorm statistics" in said
    assert "1 tensors, integers (positions)" in said
    assert "sidetrip.measure.batchnorm.recalibrate(model, batches)" in said
    assert ("--dtype float32" in said) == (asked is None)  # "λ" is bfloat16
    with safe_open(tmp_path / "merged.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["merged_steps"] == "[100, 200, 400]"


def test_every_tensor_is_aligned_whatever_its_new_type(tmp_path):
    held = {"a": torch.ones(3), "z.running_mean": torch.ones(3), "s": torch.ones(1).half()}
    merged(saved(tmp_path, lambda step: held), *MERGE, "--dtype", "float16")
    found = read_snapshot(tmp_path / "merged.safetensors").tensors
    assert min(tensor.start for tensor in found.values()) % 8 == 0
    assert not any(tensor.start % (tensor.size // math.prod(tensor.shape)) for tensor in found.values())


def test_a_merge_of_one_and_the_same_is_itself(tmp_path):
    """To the bit where types are narrower than double precision, whatever the coefficients."""
    held = {"w": tensors(1)["layer.weight"], "h": tensors(1)["λ"], "zero": torch.tensor(-0.0)}
    found = merged(saved(tmp_path, lambda step: held), "--ema", 0.01, "--over", 300)
    assert all(torch.equal(found[name], tensor) for name, tensor in held.items())
    assert torch.signbit(found["zero"])


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), AdamW(), SGD()], ids=str)
def test_states_of_our_own_are_merged_into_one(tmp_path, optimizer):
    """Whatever the optimizer keeps is that of the newest, as buffers are."""
    for step in STEPS:
        weights, buffers, kept = ({"w": torch.full((3,), factor * step)} for factor in (1.0, 2.0, 3.0))
        every = {slot: {"w": kept["w"].clone()} for slot in optimizer.slots}
        state = TrainState(step, weights, buffers, every)
        save_state(state, state_path(tmp_path, step))
    paths = [state_path(tmp_path, step) for step in STEPS]
    merge(*paths, *MERGE, "--output", tmp_path / "merged" / "step_000400.safetensors")
    seal(tmp_path / "merged", [tmp_path / "merged" / "step_000400.safetensors"])
    found = load_state(state_path(tmp_path / "merged", 400))
    assert found.step == 400
    assert found.weights["w"].tolist() == pytest.approx([float(np.dot(COEFFICIENTS, STEPS))] * 3)
    assert found.buffers["w"].tolist() == [800.0] * 3
    assert {slot: kept["w"].tolist() for slot, kept in found.optimizer.items()} == dict.fromkeys(
        optimizer.slots, [1200.0] * 3
    )


def test_a_state_under_a_wrong_name_is_refused(tmp_path, capsys):
    for step, name in ((100, 100), (200, 300)):
        save_state(TrainState(step, {"w": torch.ones(1)}, {}, {}), state_path(tmp_path, name))
    paths = [state_path(tmp_path, name) for name in (100, 300)]
    arguments = [*paths, "--decay", "linear", "--output", tmp_path / "m.safetensors", "--over"]
    assert "is of step 200 by its tensor, 300 by its name; give --steps" in refused(capsys, *arguments, 200)
    merge(*arguments, 100, "--steps", 100, 200)


def test_only_what_is_needed_is_read(tmp_path, capsys):
    paths = written(tmp_path)
    older, newer, between = (tmp_path / f"checkpoint-{step}.safetensors" for step in (50, 500, 300))
    older.write_bytes(b"damaged")
    newer.write_bytes(b"damaged")
    save_file(tensors(300) | {"scalar": torch.tensor(float("nan"))}, between)
    (tmp_path / "flat").write_text("0.5\n" * 300, encoding="utf-8")
    found = merged([*paths, older, newer, between], "--end", 400, "--multipliers", tmp_path / "flat")
    first, last = load_file(paths[0]), load_file(paths[2])
    expected = (0.5 * first["scalar"].double() + 0.5 * last["scalar"].double()).float()
    assert torch.equal(found["scalar"], expected)  # the two-point average: those between have coefficient 0
    assert int(found["bn.num_batches_tracked"]) == 400
    assert "not used, outside the window: 2 snapshots, 50, 500\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "schedule"),
    [
        (["--decay", "cosine", "--over", 250], Schedule.cosine(250)),
        (["--decay", "1-sqrt", "--over", 300], Schedule.one_minus_sqrt(300)),
        (["--decay", "two-point", "--over", 300], Schedule.constant(300, 0.5)),
        (["--ema", 0.02, "--over", 300], Kernel.ema(300, 0.02).schedule()),
        (["--multipliers", "FILE"], Schedule.cosine(280)),
        (["--kernel", "FILE"], Kernel.ema(300, 0.02).schedule()),
        (["--wanted-rates", "FILE", "--rates", "RATES"], None),
        (["--multipliers", "FILE", "--rates", "RATES"], Schedule.cosine(280)),
    ],
)
def test_every_way_to_ask(options, schedule, tmp_path, capsys):
    own = np.linspace(1.0, 0.5, 400)
    wanted = np.linspace(0.6, 0.0, 200)
    lists = {"--multipliers": Schedule.cosine(280).multipliers, "--kernel": Kernel.ema(300, 0.02).weights}
    (tmp_path / "FILE").write_text("\n".join(map(repr, map(float, lists.get(options[0], wanted)))), encoding="utf-8")
    (tmp_path / "RATES").write_text("\n".join(map(repr, map(float, own))), encoding="utf-8")
    rates = own if "RATES" in options else None
    expected = nearest_average(STEPS, schedule or Schedule(wanted / own[200:]), rates)
    merge("--steps", *STEPS, *(tmp_path / o if o in ("FILE", "RATES") else o for o in options), "--dry-run")
    said = capsys.readouterr().out
    for step, coefficient in zip(STEPS, expected.coefficients, strict=True):
        if step not in expected.used:
            continue
        assert re.search(rf"^ +{step} +{re.escape(f'{coefficient + 0.0:.6g}')}\b", said, re.MULTILINE), said
    assert f"realise {expected.share:.2%} of the schedule" in said
    assert f"distance {expected.distance:.3g}" in said


def test_a_dry_run_writes_nothing_but_the_picture_asked_for(tmp_path, capsys):
    paths = written(tmp_path)
    before = sorted(tmp_path.iterdir())
    merge(*paths, *MERGE, "--dry-run", "--output", tmp_path / "merged.safetensors")
    assert sorted(tmp_path.iterdir()) == before
    assert "0.335\n" in capsys.readouterr().out
    merge(*paths, *MERGE, "--dry-run", "--picture", tmp_path / "schedule.png")
    assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "schedule.png"])


def test_the_newest_snapshot_alone_is_no_decay_and_is_refused_unless_accepted(tmp_path, capsys):
    paths, output = written(tmp_path), tmp_path / "merged.safetensors"
    poor = [*paths, "--decay", "linear", "--over", 10, "--output", output]
    line = refused(capsys, *poor)
    assert "the window of 10 steps is shorter than the spacing of 200 steps" in line
    assert line.endswith("or --accept-poor")
    assert not output.exists()
    merge(*poor, "--accept-poor")
    assert output.exists()


def test_what_is_wrong_is_one_line_and_nothing_is_written(tmp_path, capsys):
    paths, output = written(tmp_path), tmp_path / "merged.safetensors"
    (tmp_path / "words").write_text("0.5 half", encoding="utf-8")
    (tmp_path / "nothing").write_text("", encoding="utf-8")
    (tmp_path / "ones").write_text("1\n" * 5, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    content = paths[1].read_bytes()

    def says(*arguments, target=output):
        line = refused(capsys, *arguments, "--output", target)
        assert sorted(tmp_path.iterdir()) == before
        return line

    linear = ["--decay", "linear", "--over"]
    missing = tmp_path / "none-1.safetensors"
    assert "none-1.safetensors: cannot be read (No such file" in says(missing, *paths, *linear, 399)
    nowhere = tmp_path / "none" / "step_*.safetensors"  # as a shell leaves a pattern that nothing fits
    assert "step_*.safetensors: cannot be read (No such file or directory); check the path" in says(nowhere, *MERGE)
    assert "begins at step -600, before the first snapshot at step 100" in says(*paths, *linear, 1000)
    assert "2 steps for 3 snapshots; give one for each" in says(*paths, *linear, 100, "--steps", 1, 2)
    assert "step 100: belongs to" in says(*paths, paths[0], *linear, 100)
    assert "--over: not given" in says(*paths, "--decay", "linear")
    assert "--output: not given" in refused(capsys, *paths, *MERGE)
    assert "give steps (1000), a part of the run (10%)" in says(*paths, *linear, "1e3")
    assert "File name too long; check the path" in says("x" * 300, *MERGE)
    assert "the snapshots are single files; name it x.safetensors" in says(*paths, *MERGE, target=tmp_path / "x")
    assert "safetensors is what is written; name it x.safetensors" in says(*paths, *MERGE, target=tmp_path / "x.pt")
    assert "is one of the snapshots" in says(*paths, *MERGE, target=paths[1])
    assert "no snapshot is named" in says(*MERGE, "--steps", *STEPS)
    assert "not a list of numbers" in says(*paths, "--multipliers", tmp_path / "words")
    assert "has no numbers" in says(*paths, "--multipliers", tmp_path / "nothing")
    assert "--over = 300: the file gives 5 steps" in says(*paths, "--multipliers", tmp_path / "ones", "--over", 300)
    assert "needs the run's own rates" in says(*paths, "--wanted-rates", tmp_path / "ones")
    wanted = ["--wanted-rates", tmp_path / "ones", "--rates", tmp_path / "ones"]
    assert "--rates: 5 rates, where 5 are wanted up to step 400" in says(*paths, *wanted)
    for changed, message in (
        ({"more": torch.zeros(1)}, "has more, "),
        ({"layer.weight": torch.zeros(7, 6)}, "layer.weight is F32 [7, 6], in "),
        ({"scalar": torch.tensor(0.0, dtype=torch.float16)}, "scalar is F16 [], in "),
    ):
        save_file(tensors(200) | changed, paths[1])
        assert message in says(*paths, *MERGE)
    paths[1].write_bytes(content)
    for added, message in (
        ({"z": torch.zeros(1, dtype=torch.complex64)}, "z is of type C64, which is not averaged"),
        ({"q": torch.zeros(1, dtype=torch.float8_e4m3fn), "q_scale_inv": torch.ones(1)}, "q (F8_E4M3) is quantised"),
        ({"a.qweight": torch.zeros(1, dtype=torch.int32), "a.scales": torch.ones(1)}, "a.scales is its scale"),
        ({"a.weight": torch.zeros(1, dtype=torch.int8), "a.weight_scale": torch.ones(1)}, "is quantised"),
        ({"a.weight": torch.zeros(1, dtype=torch.uint8), "a.weight.absmax": torch.ones(1)}, "is quantised"),
        ({f"up_{name}": torch.zeros(1, dtype=torch.uint8) for name in ("blocks", "scales")}, "up_scales is its scale"),
        ({f"a.{n}": torch.zeros(1).to(torch.float8_e4m3fn) for n in ("weight", "weight_scale")}, "is quantised"),
        ({"a.W_q": torch.zeros(1, dtype=torch.uint8), "a.scale": torch.ones(1)}, "a.scale is its scale"),
        ({"a.weight._data": torch.zeros(1, dtype=torch.int8), "a.weight._scale": torch.ones(1)}, "is quantised"),
        ({"a.codes": torch.zeros(1, dtype=torch.int16), "a.codebooks": torch.ones(1)}, "a.codebooks is its scale"),
        ({f"a.q_{n}": torch.zeros(1, dtype=torch.int32) for n in ("weight", "scale")}, "a.q_scale is its scale"),
        ({"z": torch.zeros(1, dtype=torch.float8_e8m0fnu)}, "z is of type F8_E8M0"),
    ):
        saved(tmp_path, lambda step, added=added: added)
        assert message in says(*paths, *MERGE)
    saved(tmp_path, lambda step: {"w": torch.tensor([1e5, 2.0, -torch.inf])})
    assert "w: its merged values reach 1e+05, too large for F16" in says(*paths, *MERGE, "--dtype", "float16")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_what_is_not_finite_is_refused_by_step_and_name(value, tmp_path, capsys):
    for wrong in STEPS:
        held = {step: torch.tensor([1.0, float(value) if step == wrong else 2.0]) for step in STEPS}
        paths = saved(tmp_path, lambda step, held=held: {"bad": held[step]})
        line = refused(capsys, *paths, *MERGE, "--output", tmp_path / "merged.safetensors")
        assert f"bad: is not finite in the snapshot of step {wrong}; " in line
        assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_the_guide_tells_what_decoupled_weight_decay_does():
    """Of a steady gradient; the branch point is 0, and a step first takes rate × decay of the weights, as torch."""
    kernel, schedule = Schedule.linear(1000).kernel().weights, Schedule.linear(1000).multipliers
    told = []
    for product in (0.03, 0.3, 1.0):
        iterates, trip = [0.0], 0.0
        for multiplier in schedule:
            iterates.append(iterates[-1] * (1 - product / 1000) - 1)
            trip = trip * (1 - multiplier * product / 1000) - multiplier
        average = float(kernel @ iterates)
        told.append(f"{100 * abs(average - trip) / abs(average):.2g} %")
    text = Path("docs/merge.md").read_text(encoding="utf-8")
    assert "{} where the product is 0.03, {} at 0.3, {} at 1;".format(*told) in text


def test_a_mask_of_infinities_is_kept(tmp_path):
    (tmp_path / "rising").write_text("1.5\n" * 100 + "0.5\n" * 200, encoding="utf-8")  # with a negative coefficient
    paths = saved(tmp_path, lambda step: {"mask": torch.tensor([0.0, -torch.inf])})
    assert merged(paths, "--multipliers", tmp_path / "rising")["mask"].tolist() == [0.0, -torch.inf]


def test_statistics_and_states_of_optimizers_are_copied(tmp_path, capsys):
    names = ["bn.moving_variance", "batch_stats.bn.mean", "bn.running_std", "optimizer.w.exp_avg", "exp_avg_sq.w"]
    held = {step: {name: torch.full((2,), float(step)) for name in [*names, "batch_statsx"]} for step in STEPS}
    found = merged(saved(tmp_path, held.get, {"sshs_model_hash": "1"}), *MERGE)
    assert [name for name, tensor in found.items() if tensor[0] != 400.0] == ["batch_statsx"]
    assert "2 tensors, states of an optimizer (" in capsys.readouterr().out
    assert "sshs_model_hash" not in read_snapshot(tmp_path / "merged.safetensors").metadata


@pytest.mark.parametrize(("name", "said"), [("n_averaged", True), ("w_averaged", False)])
def test_snapshots_that_are_averages_already_are_told(name, said, tmp_path, capsys):
    merged(saved(tmp_path, lambda step: {"module.w": torch.full((2,), float(step)), name: torch.tensor(7)}), *MERGE)
    assert ("averages of iterates already" in capsys.readouterr().err) == said


def test_what_was_merged_is_an_average_already(tmp_path, capsys):
    paths = saved(tmp_path, lambda step: {"w": torch.full((2,), float(step))})
    merged([*paths[:2], paths[2]], *MERGE)
    assert "averages" not in capsys.readouterr().err
    newest = (tmp_path / "merged.safetensors").rename(tmp_path / "checkpoint-500.safetensors")
    merge(*paths, newest, "--decay", "linear", "--over", 400, "--output", tmp_path / "again.safetensors")
    assert "averages of iterates already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place", ["checkpoint-100/model.safetensors", "checkpoint-200/m.safetensors", "checkpoint-400/x"]
)
def test_nothing_is_written_into_a_snapshot_though_the_window_does_without_it(tmp_path, capsys, place):
    for step in (100, 200, 400):
        hugging_face(tmp_path / f"checkpoint-{step}", step)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    line = refused(capsys, tmp_path, "--decay", "linear", "--over", 200, "--output", tmp_path / place)
    assert "snapshots; write to another place" in line
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_files_of_the_newest_that_cannot_be_copied_are_named_before_anything_is_written(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for step in STEPS:
        hugging_face(tmp_path / "run" / f"checkpoint-{step}", step)
    lost = tmp_path / "run" / "checkpoint-400" / "config.json"
    lost.unlink()
    lost.symlink_to("nowhere")
    (lost.parent / "notes.md").mkdir()
    assert f"{lost}: No such file" in refused(capsys, tmp_path / "run", *MERGE, "--output", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    lost.unlink()
    index = next(lost.parent.glob("*.index.json"))
    index.write_text(json.dumps(json.loads(index.read_bytes()) | {"metadata": ["odd"]}), encoding="utf-8")
    merge(tmp_path / "run", *MERGE, "--output", tmp_path / "merged")
    assert json.loads((tmp_path / "merged" / index.name).read_bytes())["metadata"].keys() == {"total_size"}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--decay", "linear", "--over", "0"], "--over 0: give steps"),
        (["--decay", "linear", "--over", "5e9", "--tokens-per-step", "-4"], "--tokens-per-step -4: give steps"),
        (["--decay", "linear", "--over", "10%", "--tokens-per-step", "4"], "--over 10%, --tokens-per-step 4"),
        ([*MERGE, "--rename", "nothing=x"], "--rename nothing=x: fits no tensor"),
        ([*MERGE, "--exclude", "*"], "no tensor is left"),
        ([*MERGE, "--weight-decay", "nan", "--rate", "1"], "--weight-decay nan: "),
        (["--kernel", "FILE"], "FILE: "),
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused_by_their_names(tmp_path, capsys, options, what):
    paths = saved(tmp_path, lambda step: {"w": torch.ones(2)})
    (tmp_path / "FILE").write_text("1\n", encoding="utf-8")
    options = [tmp_path / "FILE" if option == "FILE" else option for option in options]
    assert what in refused(capsys, *paths, *options, "--output", tmp_path / "merged.safetensors")


def test_a_gain_that_is_learned_is_no_scale(tmp_path):
    held = {"weight": torch.ones(2, dtype=torch.float8_e4m3fn), "logit_scale": torch.ones(1)}
    merged(saved(tmp_path, lambda step: held), *MERGE)


def hugging_face(folder, step):
    sharded(folder, tensors(step))
    (folder / "config.json").write_text('{"layers": 3}', encoding="utf-8")
    (folder / "generation_config.json").write_text(f'{{"step": {step}}}', encoding="utf-8")
    (folder / "trainer_state.json").write_text("{}", encoding="utf-8")
    (folder / "optimizer.pt").write_bytes(b"PK")


def test_a_folder_is_written_as_the_newest_is(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for step in STEPS:
        hugging_face(tmp_path / "run" / f"checkpoint-{step}", step)
    merge(*written(tmp_path), *MERGE, "--output", tmp_path / "whole.safetensors")
    merge(tmp_path / "run", *MERGE, "--output", tmp_path / "from_shards.safetensors")
    merge(tmp_path / "run", *MERGE, "--output", tmp_path / "merged")
    newest = tmp_path / "run" / "checkpoint-400"
    dropped = {"trainer_state.json", "optimizer.pt"}
    assert {path.name for path in (tmp_path / "merged").iterdir()} == {p.name for p in newest.iterdir()} - dropped
    index = json.loads((tmp_path / "merged" / "model.safetensors.index.json").read_text(encoding="utf-8"))
    whole, from_shards = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "from_shards"))
    assert whole.keys() == from_shards.keys() == index["weight_map"].keys()
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    for name, tensor in whole.items():
        assert torch.equal(load_file(tmp_path / "merged" / index["weight_map"][name])[name], tensor)
        assert torch.equal(from_shards[name], tensor)
    assert "another at the oldest step: generation_config.json\n" in capsys.readouterr().out
    before = sorted(tmp_path.iterdir())
    assert "is there and no empty folder" in refused(capsys, tmp_path / "run", *MERGE, "--output", tmp_path / "merged")
    for path in (tmp_path / "run").glob("*/model-1-of-2.safetensors"):
        save_file({name: torch.full_like(t, 1e5) for name, t in load_file(path).items()}, path)
    too_large = ["--dtype", "float16", "--output", tmp_path / "other"]
    assert "too large for F16" in refused(capsys, tmp_path / "run", *MERGE, *too_large)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_regular_file_is_not_replaced(tmp_path, capsys):
    paths = written(tmp_path)
    (tmp_path / "x.safetensors").symlink_to("/dev/null")
    assert "no regular file" in refused(capsys, *paths, *MERGE, "--output", tmp_path / "x.safetensors")
    assert "would be a folder" in refused(capsys, *paths, *MERGE, "--output", "/dev/null")


def test_other_names_and_what_is_left_out(tmp_path, capsys):
    for step, path in zip(STEPS, paths_of(tmp_path), strict=True):
        prefix = "_orig_mod." if step == 200 else ""
        stray = {"lm_head.weight": torch.ones(1)} if step == 400 else {}
        save_file({f"{prefix}{name}": t for name, t in tensors(step).items()} | stray, path, {"format": "pt"})
    output = tmp_path / "merged.safetensors"
    arguments = [*paths_of(tmp_path), *MERGE, "--output", output]
    assert "has _orig_mod.bn.num_batches_tracked and 8 more" in refused(capsys, *arguments)
    assert "--exclude x: fits no tensor" in refused(capsys, *arguments, "--exclude", "x")
    assert "gives two tensors the name" in refused(capsys, *arguments, "--rename", "layer.=bn.")
    merge(*arguments, "--rename", "_orig_mod.=", "--exclude", "lm_head*")
    assert "left out: 1 tensors (lm_head.weight)\n" in capsys.readouterr().out
    merge(*written(tmp_path), *MERGE, "--output", tmp_path / "plain.safetensors")
    assert output.read_bytes() == (tmp_path / "plain.safetensors").read_bytes()


@pytest.mark.parametrize("options", [["--over", "75%"], ["--over", "3e5", "--tokens-per-step", 1000]])
def test_a_window_in_other_units(options, capsys):
    merge("--steps", *STEPS, "--decay", "linear", *options, "--dry-run")
    said = capsys.readouterr().out
    merge("--steps", *STEPS, *MERGE, "--dry-run")
    assert capsys.readouterr().out == said


def test_decoupled_weight_decay_is_said(tmp_path, capsys):
    (tmp_path / "rates").write_text("0.001\n" * 400, encoding="utf-8")
    arguments = ["--steps", *STEPS, *MERGE, "--dry-run", "--weight-decay", 0.1]
    for rate in (["--rate", 0.001], ["--rates", tmp_path / "rates"]):
        merge(*arguments, *rate)
        assert "rate x decay x steps = 0.03." in capsys.readouterr().out
    assert "--weight-decay: needs the run's learning rate" in refused(capsys, *arguments)


def test_numpy_and_safetensors_are_enough(tmp_path):
    """In a Python that finds nothing else."""
    for package in ("numpy", "numpy.libs", "safetensors"):
        if (place := Path(np.__file__).parents[1] / package).exists():
            (tmp_path / package).symlink_to(place)
    (tmp_path / "sidetrip").symlink_to(Path("src/sidetrip").absolute())
    environment = {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    saved(tmp_path, lambda step: {"h": torch.ones(3).bfloat16(), "w": torch.ones(3)})
    losses, cool_downs = tmp_path / "run.csv", tmp_path / "earlier.csv"
    losses.write_text("step,momentary,merged\n" + "".join(f"{s},2,1\n" for s in range(10, 200, 10)), encoding="utf-8")
    cool_downs.write_text(
        "start,over,shape,loss\n100,10,linear,1\n110,10,linear,1\n120,10,linear,1\n", encoding="utf-8"
    )

    def run(command, *arguments):
        program = [sys.executable, "-S", "-m", f"sidetrip.{command}", *arguments]
        return subprocess.run(program, env=environment, capture_output=True, text=True, encoding="utf-8")

    ours = [*paths_of(tmp_path), *MERGE]
    done = run("merge", *ours, "--output", tmp_path / "merged.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert load_file(tmp_path / "merged.safetensors")["h"].tolist() == [1.0] * 3
    missing = run("merge", *ours, "--output", tmp_path / "x.safetensors", "--dtype", "float8_e5m2")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    assert "pip install ml_dtypes" in missing.stderr
    assert "pip install matplotlib" in run("merge", *ours, "--dry-run", "--picture", tmp_path / "x.png").stderr
    forecast = run("forecast", "--losses", losses, "--cool-downs", cool_downs, "--over", "10")
    assert (forecast.returncode, forecast.stderr) == (0, "")


def guide_s_line(beginning):
    """Arguments of a command that docs/merge.md shows."""
    guide = Path("docs/merge.md").read_text(encoding="utf-8")
    (line,) = [line for line in guide.splitlines() if line.startswith(beginning)]
    return [sys.executable, *shlex.split(line)[1:]]


def run_here(monkeypatch, command: list[str]) -> None:
    """What a process with `python -c CODE` or `python -m MODULE` does, without loading torch anew."""
    _, option, what, *arguments = map(str, command)
    monkeypatch.setattr(sys, "argv", [option, *arguments])
    if option == "-c":
        exec(what, {})
    else:
        runpy.run_module(what, run_name="__main__")


def test_the_guide_s_lines_convert_checkpoints_of_torch(tmp_path, capsys, monkeypatch):
    """Pickled, with other things beside the tensors, and distributed."""
    tied = torch.arange(6.0).reshape(2, 3)
    for step in (1, 5):
        model = {"w": step * tied.T, "tied": step * tied}
        whole = {"model": model, "args": argparse.Namespace(rate=0.1), "epoch": 3}
        torch.save(whole, tmp_path / f"step-{step}.pt")
        distributed.save({"model": model}, checkpoint_id=tmp_path / f"step-{step}", no_dist=True)
    arguments = ["--decay", "linear", "--over", 4, "--output", tmp_path / "merged.safetensors"]
    pickled = [tmp_path / f"step-{step}.pt" for step in (1, 5)]
    assert "a pickled checkpoint, never opened here; docs/merge.md" in refused(capsys, *pickled, *arguments)
    folders = [path.with_suffix("") for path in pickled]
    assert "a distributed checkpoint of torch (DCP); docs/merge.md" in refused(capsys, *folders, *arguments)
    (*program, _, _, _), (*joined, _, _) = guide_s_line("python -c"), guide_s_line("python -m torch.distributed")
    coefficients = nearest_average((1, 5), Schedule.linear(4)).coefficients
    first, last = (path.with_suffix(".safetensors") for path in pickled)
    save_file({"w": tied.T.contiguous(), "tied": tied.clone()}, first)
    for from_distributed in (False, True):
        if from_distributed:
            pickled[1].unlink()
            run_here(monkeypatch, [*joined, folders[1], pickled[1]])
        last.unlink(missing_ok=True)
        run_here(monkeypatch, [*program, pickled[1], last, "model"])
        merge(first, last, *arguments)
        expected = (coefficients[0] + 5 * coefficients[1]) * tied.T.double()
        torch.testing.assert_close(load_file(tmp_path / "merged.safetensors")["w"], expected.float())


def big(folder, megabytes):
    """Snapshots of zeros in one tensor, without taking room on disk."""
    head = header_bytes([("w", "F32", (megabytes * 2**18,), megabytes * 2**20)], {})
    for path in paths_of(folder):
        path.write_bytes(head)
        os.truncate(path, len(head) + megabytes * 2**20)
    return paths_of(folder)


def test_memory_is_that_of_a_few_blocks(tmp_path):
    """Three models of 300 MB, each one tensor; and torch, which would take as much, is not loaded."""
    script = (
        "import sys, re, pathlib; from sidetrip.merge import main; main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; "
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", script, *big(tmp_path, 300), *MERGE, "--output", tmp_path / "m.safetensors"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert int(printed.split()[-1]) < 150 * 1024
    assert (tmp_path / "m.safetensors").stat().st_size > 300 * 2**20


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_leaves_nothing_half_written(kind, tmp_path):
    paths, output = big(tmp_path, 300), tmp_path / "merged.safetensors"
    output.write_bytes(b"what was there")
    command = [sys.executable, "-m", "sidetrip.merge", *paths, *MERGE, "--output", output]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".*")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(kind)
    said = process.communicate()[1]
    assert process.returncode != 0
    assert said.count(b"\n") <= 1
    assert output.read_bytes() == b"what was there"
    if kind != signal.SIGKILL:
        assert not list(tmp_path.glob(".*"))
    written(tmp_path)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert not list(tmp_path.glob(".*"))
    assert load_file(output)["layer.weight"].shape == (7, BLOCK // 3)


def test_a_temporary_file_of_a_merge_that_runs_stays(tmp_path):
    paths, output = written(tmp_path), tmp_path / "merged.safetensors"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        running = tmp_path / f".{os.uname().nodename}.{other.pid}.merged.safetensors"
        running.write_bytes(b"")
        merge(*paths, *MERGE, "--output", output)
        assert running.exists()
        other.stdin.close()
    merge(*paths, *MERGE, "--output", output)
    assert not running.exists()


def test_a_failed_read_in_the_middle_leaves_the_output_alone(tmp_path):
    paths, output = written(tmp_path), tmp_path / "merged.safetensors"
    snapshots = {step: read_snapshot(path) for step, path in zip(STEPS, paths, strict=True)}
    output.write_bytes(b"what was there")
    os.truncate(paths[1], paths[1].stat().st_size // 2)
    with pytest.raises(FileError, match=r"checkpoint-200.safetensors: became shorter while it was read"):
        write_merged(snapshots, COEFFICIENTS, output, NOT_AVERAGED)
    assert output.read_bytes() == b"what was there"
    assert not list(tmp_path.glob(".*"))
