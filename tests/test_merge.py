"""Merging files: the numbers of a plain sum in double precision, in little memory, whole or not at all."""

import os
import re
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

from sidetrip.engine.state import TrainState, load_state, save_state, state_path
from sidetrip.files import FileError, seal
from sidetrip.kernels import Kernel, Schedule
from sidetrip.merge import main, step_of
from sidetrip.snapshots import nearest_average
from sidetrip.tensor_files import header_bytes, read_snapshot
from sidetrip.weighted_sum import BLOCK, write_merged

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
        "odd": torch.ones(3, dtype=torch.bfloat16),
    }


def paths_of(folder):
    return [folder / f"checkpoint-{step}.safetensors" for step in STEPS]


def written(folder, dtype=torch.float32):
    for step, path in zip(STEPS, paths_of(folder), strict=True):
        save_file(tensors(step, dtype), path, metadata={"format": "pt"})
    return paths_of(folder)


def merge(*arguments):
    main([str(argument) for argument in arguments])


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


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_it_is_the_plain_sum_in_double_precision(dtype, tmp_path, capsys):
    paths = written(tmp_path, dtype)
    merge(*reversed(paths), *MERGE, "--output", tmp_path / "merged.safetensors")
    found, stored = load_file(tmp_path / "merged.safetensors"), [load_file(path) for path in paths]
    assert found.keys() == stored[-1].keys()
    for name, newest in stored[-1].items():
        assert found[name].dtype == newest.dtype
        if name in NOT_AVERAGED:
            assert torch.equal(found[name].double(), newest.double())
            continue
        parts = [c * snapshot[name].double() for c, snapshot in zip(COEFFICIENTS, stored, strict=True)]
        exact = parts[0] + parts[1] + parts[2]
        assert_rounded_once(found[name], exact)
        if newest.dtype in (torch.float64, torch.float32):
            assert torch.equal(found[name], exact.to(newest.dtype))
    said = capsys.readouterr().out
    assert "3 tensors, BatchNorm statistics" in said
    assert "1 tensors, integers (positions)" in said
    assert "sidetrip.measure.batchnorm.recalibrate(model, batches)" in said
    with safe_open(tmp_path / "merged.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert file.metadata()["merged_steps"] == "[100, 200, 400]"


def test_every_tensor_is_aligned_whatever_its_new_type(tmp_path):
    for path in paths_of(tmp_path):
        save_file({"a": torch.ones(3), "z.running_mean": torch.ones(3), "s": torch.ones(1).half()}, path)
    merge(*paths_of(tmp_path), *MERGE, "--dtype", "float16", "--output", tmp_path / "merged.safetensors")
    found = read_snapshot(tmp_path / "merged.safetensors").tensors
    assert {name: tensor.start % (tensor.size // tensor.elements) for name, tensor in found.items()} == dict.fromkeys(
        ("a", "s", "z.running_mean"), 0
    )


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_another_type_on_request(dtype, tmp_path):
    paths = written(tmp_path)
    merge(*paths, *MERGE, "--dtype", dtype, "--output", tmp_path / "merged.safetensors")
    found, stored = load_file(tmp_path / "merged.safetensors"), [load_file(path) for path in paths]
    assert found["bn.running_mean"].dtype == torch.float32
    parts = [c * snapshot["layer.weight"].double() for c, snapshot in zip(COEFFICIENTS, stored, strict=True)]
    assert found["layer.weight"].dtype == getattr(torch, dtype)
    assert_rounded_once(found["layer.weight"], parts[0] + parts[1] + parts[2])


def test_a_merge_of_one_and_the_same_is_itself(tmp_path):
    """To the bit where types are narrower than double precision, whatever the coefficients."""
    for path in paths_of(tmp_path):
        save_file({"w": tensors(1)["layer.weight"], "h": tensors(1)["odd"]}, path)
    merge(*paths_of(tmp_path), "--ema", 0.01, "--over", 300, "--output", tmp_path / "merged.safetensors")
    found = load_file(tmp_path / "merged.safetensors")
    assert torch.equal(found["w"], tensors(1)["layer.weight"])
    assert torch.equal(found["h"], tensors(1)["odd"])


def test_shards_are_merged_into_one_file(tmp_path):
    folders = [sharded(tmp_path / f"checkpoint-{step}", tensors(step)).parent for step in STEPS]
    merge(*folders, *MERGE, "--output", tmp_path / "from_shards")
    merge(*written(tmp_path), *MERGE, "--output", tmp_path / "whole")
    found, whole = load_file(tmp_path / "from_shards"), load_file(tmp_path / "whole")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_states_of_our_own_are_merged_into_one(tmp_path):
    for step in STEPS:
        groups = [{"w": torch.full((3,), factor * step)} for factor in (1.0, 2.0, 3.0)]
        save_state(TrainState(step, *groups), state_path(tmp_path, step))
    paths = [state_path(tmp_path, step) for step in STEPS]
    merge(*paths, *MERGE, "--output", tmp_path / "merged" / "step_000400.safetensors")
    seal(tmp_path / "merged", [tmp_path / "merged" / "step_000400.safetensors"])
    found = load_state(state_path(tmp_path / "merged", 400))
    assert found.step == 400
    assert found.weights["w"].tolist() == pytest.approx([float(np.dot(COEFFICIENTS, STEPS))] * 3)
    assert (found.buffers["w"].tolist(), found.momentum["w"].tolist()) == ([800.0] * 3, [1200.0] * 3)


def test_a_state_under_a_wrong_name_is_refused(tmp_path, capsys):
    for step, name in ((100, 100), (200, 300)):
        save_state(TrainState(step, {"w": torch.ones(1)}, {}, {}), state_path(tmp_path, name))
    paths = [state_path(tmp_path, name) for name in (100, 300)]
    arguments = [*paths, "--decay", "linear", "--output", tmp_path / "merged", "--over"]
    assert "is of step 200 by its tensor, 300 by its name; give --steps" in refused(capsys, *arguments, 200)
    merge(*arguments, 100, "--steps", 100, 200)


def test_only_what_is_needed_is_read(tmp_path, capsys):
    paths = written(tmp_path)
    older, newer, between = (tmp_path / f"checkpoint-{step}.safetensors" for step in (50, 500, 300))
    older.write_bytes(b"damaged")
    newer.write_bytes(b"damaged")
    save_file(tensors(300) | {"scalar": torch.tensor(float("nan"))}, between)
    (tmp_path / "flat").write_text("0.5\n" * 300, encoding="utf-8")
    arguments = [*paths, older, newer, between, "--end", 400, "--multipliers", tmp_path / "flat"]
    merge(*arguments, "--output", tmp_path / "merged.safetensors")
    found, first, last = (load_file(path) for path in (tmp_path / "merged.safetensors", paths[0], paths[2]))
    expected = (0.5 * first["scalar"].double() + 0.5 * last["scalar"].double()).float()
    assert torch.equal(found["scalar"], expected)  # the two-point average: those between have coefficient 0
    assert int(found["bn.num_batches_tracked"]) == 400
    assert capsys.readouterr().out.count("not used") == 2


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
        assert re.search(rf"^ +{step} +{re.escape(f'{coefficient:.6g}')}\b", said, re.MULTILINE), said
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


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step_000500.safetensors", 500),
        ("llama-7b-step-500.safetensors", 500),
        ("epoch=3-step=500.safetensors", 500),
        ("checkpoint-500/model.safetensors", 500),
        ("checkpoint-500/model.safetensors.index.json", 500),
        ("global_step500", 500),
        ("iter_0000500", 500),
        ("500.safetensors", 500),
        ("model.safetensors", "has no step in its name"),
        ("run3-v2.safetensors", "which number of run3-v2 is its step is not clear"),
        ("step-10k.safetensors", "not clear"),
        ("checkpoint-500/model-00001-of-00003.safetensors", "is one of several shards; name its folder"),
    ],
)
def test_steps_of_names(name, step, tmp_path):
    path = Path("/runs", name)
    if isinstance(step, int):
        assert step_of(path) == step
    else:
        with pytest.raises(FileError, match=step):
            step_of(path)


def test_what_is_wrong_is_one_line_and_nothing_is_written(tmp_path, capsys):
    paths, output = written(tmp_path), tmp_path / "merged.safetensors"
    (tmp_path / "words").write_text("0.5 half", encoding="utf-8")
    (tmp_path / "nothing").write_text("", encoding="utf-8")
    (tmp_path / "ones").write_text("1\n" * 5, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    content = [path.read_bytes() for path in paths]

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
    assert "the number of steps must be a whole number of at least 1, got 0" in says(*paths, *linear, 0)
    assert "--over: not given" in says(*paths, "--decay", "linear")
    assert "--output: not given" in refused(capsys, *paths, *MERGE)
    assert "is a folder" in says(*paths, *MERGE, target=tmp_path)
    assert "is one of the snapshots" in says(*paths, *MERGE, target=paths[1])
    assert "at least 2 snapshots, got 0" in says(*MERGE)
    assert "no snapshot is named" in says(*MERGE, "--steps", *STEPS)
    assert "not a list of numbers" in says(*paths, "--multipliers", tmp_path / "words")
    assert "has no numbers" in says(*paths, "--multipliers", tmp_path / "nothing")
    assert "--over = 300: the file gives 5 steps" in says(*paths, "--multipliers", tmp_path / "ones", "--over", 300)
    assert "must sum to 1, these sum to 5" in says(*paths, "--kernel", tmp_path / "ones")
    assert "needs the run's own rates" in says(*paths, "--wanted-rates", tmp_path / "ones")
    wanted = ["--wanted-rates", tmp_path / "ones", "--rates", tmp_path / "ones"]
    assert "--rates: 5 rates, where 5 are wanted up to step 400" in says(*paths, *wanted)
    assert "5 rates do not cover the steps 101..400" in says(*paths, *MERGE, "--rates", tmp_path / "ones")
    for damaged in (content[1][:-3], b"\xff" * 8 + content[1][8:], content[1][:20], b"", b"PK\x03\x04"):
        paths[1].write_bytes(damaged)
        assert "checkpoint-200.safetensors: not a whole safetensors file" in says(*paths, *MERGE)
    for changed, message in (
        ({"more": torch.zeros(1)}, "has more, "),
        ({"layer.weight": torch.zeros(7, 6)}, "layer.weight is F32 [7, 6], in "),
        ({"scalar": torch.tensor(0.0, dtype=torch.float16)}, "scalar is F16 [], in "),
    ):
        save_file(tensors(200) | changed, paths[1])
        assert message in says(*paths, *MERGE)
    paths[1].write_bytes(content[1])
    for added, message in (
        ({"z": torch.zeros(1, dtype=torch.complex64)}, "z is complex, which is not averaged"),
        ({"q": torch.zeros(1, dtype=torch.float8_e4m3fn), "q_scale_inv": torch.ones(1)}, "q has 8 bits and a scale"),
    ):
        for path in paths:
            save_file(added, path)
        assert message in says(*paths, *MERGE)
    for path in paths:
        save_file({"w": torch.full((3,), 1e5)}, path)
    assert "w: its merged values reach 1e+05, too large for F16" in says(*paths, *MERGE, "--dtype", "float16")


def test_what_is_not_finite_is_said(tmp_path, capsys):
    for path in paths_of(tmp_path):
        save_file({"good": torch.ones(3), "bad": torch.tensor([1.0, float("nan")])}, path)
    merge(*paths_of(tmp_path), *MERGE, "--output", tmp_path / "merged.safetensors")
    (line,) = capsys.readouterr().err.splitlines()
    assert "bad holds values that are not finite; check whether the run diverged" in line


def test_the_guide_s_line_converts_a_torch_checkpoint(tmp_path, capsys):
    tied = torch.arange(6.0).reshape(2, 3)
    for step in (1, 5):
        torch.save({"w": tied.T, "tied": tied}, tmp_path / f"step-{step}.pt")
    pickled = [tmp_path / f"step-{step}.pt" for step in (1, 5)]
    arguments = ["--decay", "linear", "--over", 4, "--output", tmp_path / "merged.safetensors"]
    assert "a pickled checkpoint, which is never opened here; docs/merge.md" in refused(capsys, *pickled, *arguments)
    guide = Path("docs/merge.md").read_text(encoding="utf-8")
    (line,) = [line for line in guide.splitlines() if line.startswith("python -c")]
    program = shlex.split(line)[1:-2]
    for path in pickled:
        subprocess.run([sys.executable, *program, path, path.with_suffix(".safetensors")], check=True)
    merge(*(path.with_suffix(".safetensors") for path in pickled), *arguments)
    assert torch.equal(load_file(tmp_path / "merged.safetensors")["w"], tied.T)


def big(folder, megabytes):
    """Snapshots of zeros in one tensor, without taking room on disk."""
    head = header_bytes([("w", "F32", (megabytes * 2**18,))], {})
    for path in paths_of(folder):
        path.write_bytes(head)
        os.truncate(path, len(head) + megabytes * 2**20)
    return paths_of(folder)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_memory_is_that_of_a_few_blocks(tmp_path):
    """Three models of 300 MB, each one tensor; and torch, which would take as much, is not loaded."""
    script = (
        "import sys, re, pathlib; from sidetrip.merge import main; main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; "
        "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", script, *big(tmp_path, 300), *MERGE, "--output", tmp_path / "merged"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert int(printed.split()[-1]) < 150 * 1024
    assert (tmp_path / "merged").stat().st_size > 300 * 2**20


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
    for path in written(tmp_path):
        assert path.exists()
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
        write_merged(snapshots, COEFFICIENTS, output)
    assert output.read_bytes() == b"what was there"
    assert not list(tmp_path.glob(".*"))
